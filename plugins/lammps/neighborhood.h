// LAMMPS neighbour list → graph.
#pragma once

#include "engine/model.h"
#include "pointers.h"

#include <vector>

namespace LAMMPS_NS {

class NeighList;

using metalff::NeighborRows;

/// Those of LAMMPS' own list.
NeighborRows rows_of(const NeighList &list);

/// The graph of this rank's atoms, and which LAMMPS atom each of its nodes is.
class Neighborhood : protected Pointers {
 public:
  /// \param element  [ntypes + 1] index into the model's elements by LAMMPS type; -1: not seen by the model
  Neighborhood(LAMMPS *lmp, std::vector<int> element, double r_max, int layers);

  /// One rank: every ghost is an image of an owned atom, so edges end on `owner[ghost]` and no ghost is a node.
  /// \param type  [nlocal + nghost] LAMMPS' types; 0: as if there were no such atom
  void fold(const NeighborRows &list, const std::vector<int> &owner, const int *type);

  /// Several ranks: ghosts are nodes. They carry edges as far as `hops` steps of message passing reach; with 1 hop none does,
  /// and the model must exchange features between its layers.
  void unfold(const NeighborRows &list, int hops, const int *type);

  metalff::Graph graph;
  std::vector<int> atom_of;          ///< [graph.n_nodes] local or ghost index of the node's atom
  double shortest_squared = 0.0;     ///< Å², shortest edge of the last graph

 private:
  void start();
  void add_edges(const NeighborRows &list, int node);
  int node_for(int atom);

  const std::vector<int> element_;
  const double r_max_squared_;
  const int layers_;
  const std::vector<int> *owner_ = nullptr;
  const int *type_ = nullptr;
  std::vector<int> node_of_;         // [nlocal + nghost] -1: not yet a node
};

}    // namespace LAMMPS_NS
