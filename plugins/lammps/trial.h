// Whether Monte Carlo asks what a trial move would cost.
#pragma once

#include "lammps.h"

namespace LAMMPS_NS {

/// The energy of a trial that is to be rejected whatever the temperature: finite, and what LAMMPS itself gives overlapping atoms.
constexpr double rejected_energy = 1e100;

/// Whether a compute(eflag, …) is for a trial: a fix of Monte Carlo calls it from its pre_exchange(), beside the evaluation of the step. Says no when
/// in doubt: a step of the run must never take a trial's energy.
bool is_trial(LAMMPS *lmp, int eflag);

}    // namespace LAMMPS_NS
