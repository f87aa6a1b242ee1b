// How far the members of an ensemble disagree.
#pragma once

#include "pointers.h"
#include "units.h"

#include <cstdio>
#include <string>
#include <vector>

namespace LAMMPS_NS {

/// Forces of every member of an ensemble on every atom, and their deviation: sqrt(mean over members |F_i − mean F_i|²).
class Deviation : protected Pointers {
 public:
  Deviation(LAMMPS *lmp, int members) : Pointers(lmp), members_(members), force_(members), energy_(members) {}

  std::size_t members() const { return force_.size(); }

  /// Forgets the forces; `n_all` local and ghost atoms.
  void start(int n_all);

  /// [n_all * 3] of one member, to add to
  double *force(int member) { return force_[member].data(); }

  /// Σ_i E_i of one member on this rank
  double &energy(int member) { return energy_[member]; }

  /// From forces without ghosts' share to per_atom, largest, smallest, mean and energy_per_atom, the same on all ranks.
  /// \param atom_of  [n_owned] the atoms that count
  void reduce(const std::vector<int> &atom_of, int n_owned);

  /// The same from what a rank summed itself: Σ, largest and smallest of its n_owned deviations; energy() has its energies.
  void share(double sum, double largest, double smallest, int n_owned);

  /// What start(n_all) takes beyond what is in use.
  double missing_bytes(int n_all) const;

  std::vector<double> per_atom;    ///< [n_all], the first nlocal count; 0 for atoms that no model sees
  double largest = 0.0, smallest = 0.0, mean = 0.0;
  double energy_per_atom = 0.0;    ///< standard deviation of the members' energies over the number of atoms

 private:
  const int members_;
  std::vector<std::vector<double>> force_;
  std::vector<double> energy_;
};

/// The records of a run in a text file, one line per step; used by one rank.
class DeviationFile : protected Pointers {
 public:
  explicit DeviationFile(LAMMPS *lmp) : Pointers(lmp) {}
  ~DeviationFile() { close(); }
  DeviationFile(const DeviationFile &) = delete;

  void close();

  /// The line of a step; a second one of the same step replaces the first. Opens the file when it is not, at its end with
  /// `append`. Ends the run when that fails.
  void write(const std::string &path, bool append, const Units &units, bigint step, const Deviation &deviation);

 private:
  FILE *file_ = nullptr;
  bigint step_ = -1, line_at_ = 0;    // of the last line, and where it begins
};

}    // namespace LAMMPS_NS
