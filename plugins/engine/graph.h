// A neighbour graph in compressed rows: the one input of every model.
#pragma once

#include <cstdint>
#include <vector>

namespace metalff {

/// Edges sorted by centre; buffers are reused, so building a graph of the same size allocates nothing.
struct Graph {
  int n_nodes = 0;
  int n_owned = 0;                  ///< nodes [0, n_owned) are the centres whose energy counts
  std::vector<int> reach;           ///< [layers] nodes [0, reach[h]) are those whose features are needed h layers before the last
  std::vector<int64_t> first;       ///< [n_nodes + 1]; edges of centre i are first[i] … first[i+1] - 1
  std::vector<int32_t> neighbor;    ///< [n_edges] node index of the neighbour
  std::vector<double> edge_vec;     ///< [n_edges * 3] r_neighbor - r_centre, Å; shorter than the model's cutoff
  std::vector<int32_t> types;       ///< [n_nodes] index into the model's elements

  int64_t n_edges() const { return first.empty() ? 0 : first[n_nodes]; }
};

/// Fills a graph whose nodes are all owned from edges sorted by centre. Throws Error when they are not, or end on no node.
void fill_graph(Graph &graph, const int64_t *centre, const int64_t *neighbor, const double *edge_vec, int64_t n_edges,
                const int32_t *types, int64_t n_nodes, int layers);

/// Grow `v` to at least n elements with 10 % head-room; never shrinks.
template <typename T> void reserve_for(std::vector<T> &v, std::size_t n)
{
  if (v.size() < n) v.resize(n + n / 10);
}

}    // namespace metalff
