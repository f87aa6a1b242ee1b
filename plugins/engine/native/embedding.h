// Embedding functions of polynomial potentials: energy of an atom from a density.
#pragma once

#include "lanes.h"

#include <cmath>

namespace metalff {

/// F(ρ) and dF/dρ. Kinds: 0 is w ρ; 1 and 2 are w sign(ρ) f(|ρ|), 'FinnisSinclair' and 'FinnisSinclairShiftedScaled' of ML-PACE (Lysogorskiy et al.,
/// npj Comput. Mater. 7, 97 (2021)): f = x^m with a straight line near zero, and (x + a e^-x)^m - b e^-x with a and b such that f and f' are
/// smooth at zero.
METALFF_INLINE void embed(int kind, double w, double m, double rho, double &F, double &dF)
{
  F = w * rho, dF = w;
  if (kind == 0 || m == 1) return;
  const double x = std::fabs(rho), sign = rho < 0 ? -1 : 1;
  if (kind == 1) {
    constexpr double steep = 1e6, least = 1e-10;
    const double line = std::pow(steep, 1 - m);
    if (x <= least) {
      F = w * line * rho, dF = w * line;
      return;
    }
    const double cube = (steep * x) * (steep * x) * (steep * x), g = cube > 30 ? 0 : std::exp(-cube), dg = -3 * cube / x * g;
    const double power = std::pow(x, m - 1);
    F = w * sign * x * ((1 - g) * power + line * g);
    dF = w * (m * power * (1 - g) - power * x * dg + line * (dg * x + g));
    return;
  }
  const double inverse = 1 / m, e = std::exp(-x);
  const double a = std::pow(inverse, inverse / (1 - inverse)) * e, b = std::pow(inverse, 1 / (1 - inverse)) * e;
  const double power = std::pow(x + a, m - 1);
  F = w * sign * ((x + a) * power - b);
  dF = w * (b + m * (1 - a) * power);
}

}    // namespace metalff
