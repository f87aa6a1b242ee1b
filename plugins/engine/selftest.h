// Does this machine give the numbers of the framework that trained the model? Replays the self-test of an artefact.
#pragma once

#include "artifact.h"
#include "model.h"

#include <string>

namespace metalff {

/// Largest deviations over all structures of a self-test.
struct Deviation {
  int structures = 0;
  double energy = 0.0, forces = 0.0, stress = 0.0;    ///< eV/atom, eV/Å, eV/Å³
  double scaled = 0.0;                                ///< forces: deviation / max(1 eV/Å, largest reference force of the structure)
};

/// Largest deviation that passes: of energy, stress, and forces as `scaled`.
constexpr double tolerance(bool single) { return single ? 2e-4 : 1e-8; }

/// Throws Error where the artefact has no self-test, where that has no structures or is not valid, or is beyond what a self-test needs:
/// 64 MB, 100 structures, 10,000 atoms, and 500,000 neighbours within the cutoff.
Deviation replay(const Artifact &artifact, Model &model);

/// Throws Error where the artefact fails its self-test in this model, or replay() throws.
void must_pass(const Artifact &artifact, Model &model, bool single);

}    // namespace metalff
