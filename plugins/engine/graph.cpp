#include "graph.h"

#include "error.h"

namespace metalff {

void fill_graph(Graph &graph, const int64_t *centre, const int64_t *neighbor, const double *edge_vec, int64_t n_edges,
                const int32_t *types, int64_t n_nodes, int layers)
{
  graph.n_nodes = graph.n_owned = int(n_nodes);
  graph.reach.assign(layers, int(n_nodes));
  graph.first.assign(n_nodes + 1, 0);
  graph.neighbor.assign(neighbor, neighbor + n_edges);
  graph.edge_vec.assign(edge_vec, edge_vec + 3 * n_edges);
  graph.types.assign(types, types + n_nodes);
  for (int64_t e = 0; e < n_edges; ++e) {
    if (centre[e] < 0 || centre[e] >= n_nodes || graph.neighbor[e] < 0 || graph.neighbor[e] >= n_nodes || (e && centre[e] < centre[e - 1]))
      throw Error("edges must be sorted by centre and end on existing atoms");
    ++graph.first[centre[e] + 1];
  }
  for (int64_t i = 0; i < n_nodes; ++i) graph.first[i + 1] += graph.first[i];
}

}    // namespace metalff
