#include "neighborhood.h"

#include "atom.h"
#include "neigh_list.h"

#include <algorithm>
#include <limits>
#include <utility>

using namespace LAMMPS_NS;
using metalff::reserve_for;

NeighborRows LAMMPS_NS::rows_of(const NeighList &list)
{
  return {list.numneigh, list.firstneigh};
}

Neighborhood::Neighborhood(LAMMPS *lmp, std::vector<int> element, double r_max, int layers) :
    Pointers(lmp), element_(std::move(element)), r_max_squared_(r_max * r_max), layers_(layers)
{
}

/// Nodes for all owned atoms that the model sees; no edges yet.
void Neighborhood::start()
{
  const int nlocal = atom->nlocal, nall = nlocal + atom->nghost;
  reserve_for(node_of_, nall);
  reserve_for(atom_of, nall);
  reserve_for(graph.types, nall);
  reserve_for(graph.first, nall + 1);
  std::fill_n(node_of_.begin(), nall, -1);
  graph.n_nodes = 0;
  graph.first[0] = 0;
  shortest_squared = std::numeric_limits<double>::infinity();
  for (int i = 0; i < nlocal; ++i) node_for(i);
  graph.n_owned = graph.n_nodes;
}

int Neighborhood::node_for(int i)
{
  if (node_of_[i] < 0 && element_[type_[i]] >= 0) {
    node_of_[i] = graph.n_nodes;
    atom_of[graph.n_nodes] = i;
    graph.types[graph.n_nodes] = element_[type_[i]];
    ++graph.n_nodes;
  }
  return node_of_[i];
}

/// Appends the edges of one node; called in the order of nodes, so that edges end up sorted by centre.
void Neighborhood::add_edges(const NeighborRows &list, int node)
{
  const int i = atom_of[node];
  double **x = atom->x;
  const double xi = x[i][0], yi = x[i][1], zi = x[i][2];
  const int *neighbors = list[i];
  const int count = list.count[i];
  const std::ptrdiff_t step = list.step;

  int64_t edge = graph.first[node];
  reserve_for(graph.neighbor, edge + count);
  reserve_for(graph.edge_vec, 3 * (edge + count));
  for (int k = 0; k < count; ++k) {
    const int j = neighbors[k * step] & NEIGHMASK;
    const double dx = x[j][0] - xi, dy = x[j][1] - yi, dz = x[j][2] - zi;
    const double r_squared = dx * dx + dy * dy + dz * dz;
    if (r_squared >= r_max_squared_) continue;    // a NaN position makes an edge, and so a NaN energy: never silence
    const int neighbor = owner_ ? node_of_[(*owner_)[j]] : node_for(j);
    if (neighbor < 0) continue;
    shortest_squared = std::min(shortest_squared, r_squared);
    graph.neighbor[edge] = neighbor;
    double *vec = &graph.edge_vec[3 * edge];
    vec[0] = dx, vec[1] = dy, vec[2] = dz;
    ++edge;
  }
  graph.first[node + 1] = edge;
}

void Neighborhood::fold(const NeighborRows &list, const std::vector<int> &owner, const int *type)
{
  owner_ = &owner, type_ = type;
  start();
  for (int node = 0; node < graph.n_nodes; ++node) add_edges(list, node);
  graph.reach.assign(layers_, graph.n_owned);
}

void Neighborhood::unfold(const NeighborRows &list, int hops, const int *type)
{
  owner_ = nullptr, type_ = type;
  start();
  graph.reach.assign(layers_, graph.n_owned);
  // breadth first: after hop h the nodes hold all atoms within h steps of an owned one
  int node = 0;
  for (int hop = 0; hop < hops; ++hop) {
    if (hop > 0) graph.reach[hop] = graph.n_nodes;
    for (const int end = graph.n_nodes; node < end; ++node) add_edges(list, node);
  }
  for (; node < graph.n_nodes; ++node) graph.first[node + 1] = graph.first[node];
}
