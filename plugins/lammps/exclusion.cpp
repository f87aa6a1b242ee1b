#include "exclusion.h"

#include "atom.h"
#include "comm.h"
#include "engine/graph.h"
#include "group.h"
#include "neighbor.h"

#include <algorithm>
#include <numeric>

using namespace LAMMPS_NS;
using metalff::reserve_for;

static constexpr int ALL = 0;    // the group of all atoms

/// Whether a pair is excluded by its types or groups.
bool Exclusion::parted(int type, int groups, int other_type, int other_groups) const
{
  for (int m = 0; m < neighbor->nex_type; ++m) {
    const int a = neighbor->ex1_type[m], b = neighbor->ex2_type[m];
    if ((type == a && other_type == b) || (type == b && other_type == a)) return true;
  }
  for (int m = 0; m < neighbor->nex_group; ++m) {
    const int a = group->bitmask[neighbor->ex1_group[m]], b = group->bitmask[neighbor->ex2_group[m]];
    if ((groups & a && other_groups & b) || (groups & b && other_groups & a)) return true;
  }
  return false;
}

/// Partners are atoms of every type of the box, also of one that has no atoms now, in whatever groups atoms are: so what an atom contributes does
/// not hang on which others there are.
bool Exclusion::from_all(int type, int groups) const
{
  for (int m = 0; m < neighbor->nex_group; ++m) {    // an atom that Monte Carlo takes away is itself in 'all' no more
    const int a = neighbor->ex1_group[m], b = neighbor->ex2_group[m];
    if ((groups & group->bitmask[a] && b == ALL) || (groups & group->bitmask[b] && a == ALL)) return true;
  }
  for (int other = 1; other <= atom->ntypes; ++other)
    for (const int theirs : groups_)
      if (!parted(type, groups, other, theirs)) return false;
  return true;
}

/// The groups that atoms are in, of those that exclusions name.
void Exclusion::gather_groups()
{
  auto sort = [](std::vector<int> &numbers) {
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  };
  std::vector<int> mine;
  for (int i = 0; i < atom->nlocal; ++i)
    if (const int groups = atom->mask[i] & bits_; mine.empty() || mine.back() != groups) mine.push_back(groups);
  sort(mine);
  int count = int(mine.size());
  std::vector<int> counts(comm->nprocs), begins(comm->nprocs);
  MPI_Allgather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, world);
  std::exclusive_scan(counts.begin(), counts.end(), begins.begin(), 0);
  groups_.resize(begins.back() + counts.back());
  MPI_Allgatherv(mine.data(), count, MPI_INT, groups_.data(), counts.data(), begins.data(), MPI_INT, world);
  sort(groups_);
}

void Exclusion::update()
{
  any_ = false;
  if (neighbor->nex_type == 0 && neighbor->nex_group == 0) return;
  bits_ = 0;
  for (int m = 0; m < neighbor->nex_group; ++m) bits_ |= group->bitmask[neighbor->ex1_group[m]] | group->bitmask[neighbor->ex2_group[m]];
  gather_groups();
  alone_.clear();
  for (const int groups : groups_)
    for (int type = 0; type <= atom->ntypes; ++type) alone_.push_back(type > 0 && from_all(type, groups));
  any_ = std::count(alone_.begin(), alone_.end(), 1) > 0;
}

const int *Exclusion::types()
{
  if (!any_) return atom->type;
  const int n = atom->nlocal + atom->nghost;
  reserve_for(types_, n);
  for (int i = 0; i < n; ++i) {
    const auto at = std::lower_bound(groups_.begin(), groups_.end(), atom->mask[i] & bits_);
    const bool known = at != groups_.end() && *at == (atom->mask[i] & bits_);
    const bool alone = known && alone_[(at - groups_.begin()) * (atom->ntypes + 1) + atom->type[i]];
    types_[i] = alone ? 0 : atom->type[i];
  }
  return types_.data();
}
