// The features of message-passing models between MPI ranks, through LAMMPS' own communication.
#pragma once

#include "engine/model.h"
#include "pointers.h"

#include <vector>

namespace LAMMPS_NS {

class Pair;

/// Rows of nodes travel as rows of atoms: a ghost may come by way of another rank's ghost that is no node.
class FeatureExchange : public metalff::Exchange, protected Pointers {
 public:
  /// `pair` forwards its pack and unpack calls to those below while `active`.
  FeatureExchange(LAMMPS *lmp, Pair *pair) : Pointers(lmp), pair_(pair) {}

  /// The nodes of the next evaluation: nodes [0, n_owned) are atoms of this rank, the others ghosts.
  void set_nodes(const std::vector<int> &atom_of, int n_owned, int n_nodes);

  void forward(double *features, int width) override;
  void reverse(double *gradients, int width) override;

  int pack_forward(int n, const int *list, double *buf) const;
  void unpack_forward(int n, int first, const double *buf);
  int pack_reverse(int n, int first, double *buf) const;
  void unpack_reverse(int n, const int *list, const double *buf);

  bool active = false;     ///< between the begin and the end of forward() or reverse()
  double seconds = 0.0;    ///< spent here, waiting included; the owner resets it
  double bytes() const { return double(rows_.capacity()) * sizeof(double); }

 private:
  Pair *const pair_;
  const int *atom_of_ = nullptr;
  int n_owned_ = 0, n_nodes_ = 0, width_ = 0;
  std::vector<double> rows_;    // [nlocal + nghost][width]
};

}    // namespace LAMMPS_NS
