// The words of pair_style and pair_coeff, and how a restart file keeps them.
#pragma once

#include "engine/model.h"
#include "extrapolation.h"
#include "lammps.h"
#include "units.h"

#include <cstdio>
#include <string>
#include <vector>

namespace LAMMPS_NS {

/// The words of pair_style, keywords in docs/pair_mlff.md.
struct Settings {
  metalff::Options options;
  std::string precision = "double";
  Extrapolation::Action extrapolation = Extrapolation::Action::WARN;
  enum class Kernels { AUTO, TILES, DEVICE } kernels = Kernels::AUTO;    // of mlff/kk
  bool threads_given = false;
  bool wide_ghosts = false;       // several ranks: ghosts to layers * r_max instead of exchange
  bool mean = false;              // the mean of all members drives, not the first
  int every = 1;                  // steps between deviations
  std::string deviation_file;     // empty: none
  double stop_above = 0.0;        // LAMMPS' units; 0: never
  std::string stop_restart = "mlff.stop.restart";

  /// Ends the run with one sentence where a word is wrong.
  static Settings of(const std::vector<std::string> &words, const Units &units, LAMMPS *lmp);
};

/// The words of pair_coeff, and what a restart file says of them.
struct Coefficients {
  std::vector<std::string> paths, names;
  std::vector<std::string> sha256;    // of the manifests; empty: not known yet
};

/// Into a restart file; by the first rank.
void write_words(FILE *file, const std::vector<std::string> &words);
/// Out of a restart file; the first rank reads, all ranks know.
std::vector<std::string> read_words(FILE *file, LAMMPS *lmp);

}    // namespace LAMMPS_NS
