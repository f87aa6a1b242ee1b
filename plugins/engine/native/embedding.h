// Embedding functions of the densities of a polynomial potential.
#pragma once

#include "lanes.h"

#include <cmath>

namespace metalff {

/// F(ρ) and dF/dρ. Kind 0: w ρ; 1: Finnis-Sinclair, 2: Finnis-Sinclair shifted and scaled, of PACE (Lysogorskiy et al. (2021)).
METALFF_INLINE void embed(int, double w, double, double rho, double &F, double &dF)
{
  F = w * rho, dF = w;
}

}    // namespace metalff
