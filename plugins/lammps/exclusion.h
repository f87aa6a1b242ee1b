// Atoms that neigh_modify exclude takes out of all pairs: they contribute nothing, as if they were deleted.
#pragma once

#include "pointers.h"

#include <vector>

namespace LAMMPS_NS {

/// Whose every pair is excluded: `exclude group X all`, as Monte Carlo does for a trial deletion, or exclusions of types and groups that together
/// leave no partner. An atom that merely has no neighbour is none of these, nor is one that `exclude molecule` parts from others.
class Exclusion : protected Pointers {
 public:
  explicit Exclusion(LAMMPS *lmp) : Pointers(lmp) {}

  /// Learns the exclusions and the groups that atoms are in, with every new neighbour list. All ranks take part.
  void update();

  /// Whether any atom may be excluded from all others; the same on all ranks.
  bool any() const { return any_; }

  /// [nlocal + nghost] LAMMPS' types, and 0 for atoms that are excluded from all others.
  const int *types();

 private:
  bool parted(int type, int groups, int other_type, int other_groups) const;
  bool from_all(int type, int groups) const;
  void gather_groups();

  bool any_ = false;
  int bits_ = 0;                     // of the groups that exclusions name
  std::vector<int> groups_;          // what atoms have of bits_, sorted: all that occur on any rank
  std::vector<char> alone_;          // [groups_][ntypes + 1] 1: excluded from all others
  std::vector<int> types_;
};

}    // namespace LAMMPS_NS
