// A graph of the host on a device, and what a model makes of it back on the host.
#pragma once

#include "arrays_kokkos.h"
#include "engine/error.h"

#include <algorithm>
#include <limits>

namespace metalff {

/// Owned nodes are sorted by element and rows by the element of the neighbours, as DeviceGraph wants them; ghosts keep their places. Neighbours
/// are sent with every graph: they are 4 of the 52 bytes that an edge takes there and back, and change with most steps of a dynamics.
template <class Space> class HostGraph {
 public:
  using Range = Kokkos::RangePolicy<typename Space::execution_space>;
  using Ints = Array<Space, int>;
  using Doubles = Array<Space, double>;

  /// What the host knows alone: nodes, runs and sizes. Throws Error when there are more edges than a device can count.
  void plan(const Graph &host)
  {
    const int n = host.n_nodes, owned = host.n_owned;
    if (host.first[owned] > std::numeric_limits<int>::max() / 2)
      throw Error("there are more than a billion neighbours on one GPU: use fewer atoms or more ranks");
    n_types_ = 0;
    for (int i = 0; i < n; ++i) n_types_ = std::max(n_types_, host.types[i] + 1);
    std::vector<int> begin(n_types_ + 1, 0), seen(n_types_, 0);
    for (int i = 0; i < owned; ++i) ++begin[host.types[i] + 1];
    for (int i = 0; i < n; ++i) seen[host.types[i]] = 1;
    mixed_ = std::count(seen.begin(), seen.end(), 1) > 1;
    graph.runs.clear();
    for (int t = 0; t < n_types_; ++t) {
      begin[t + 1] += begin[t];
      if (begin[t + 1] > begin[t]) graph.runs.push_back({t, begin[t], begin[t + 1]});
    }
    order.resize(n), types_.resize(n), first_.resize(n + 1), row_.resize(n);
    for (int i = 0; i < n; ++i) order[i < owned ? begin[host.types[i]]++ : i] = i;
    graph.n_nodes = n, graph.n_owned = owned, graph.longest = 0;
    first_[0] = 0;
    for (int i = 0; i < n; ++i) {
      const int h = order[i], length = i < owned ? int(host.first[h + 1] - host.first[h]) : 0;
      types_[i] = host.types[h], row_[i] = int(host.first[h]), first_[i + 1] = first_[i] + length;
      graph.longest = std::max(graph.longest, length);
    }
    graph.n_candidates = first_[n];
  }

  /// Bytes of the device that send() will take.
  double missing_bytes() const
  {
    double sum = 0.0;
    each_array([&](const auto &array, std::int64_t n, const char *) { sum += metalff::missing_bytes<Space>(array, n); });
    return sum;
  }

  /// The graph that was planned.
  void send(const Graph &host)
  {
    each_array([&](const auto &array, std::int64_t n, const char *label) { make_room<Space>(const_cast<std::decay_t<decltype(array)> &>(array), n, label); });
    const int n = graph.n_nodes, n_owned = graph.n_owned, edges = int(graph.n_candidates);
    copy_in<Space>(order_, order.data(), n), copy_in<Space>(graph.types, types_.data(), n);
    copy_in<Space>(graph.first, first_.data(), n + 1), copy_in<Space>(begin_, row_.data(), n);
    copy_in<Space>(ends_, host.neighbor.data(), edges), copy_in<Space>(vectors_, host.edge_vec.data(), 3 * std::int64_t(edges));

    const auto nodes = order_, node_of = node_of_, begin = begin_, ends = ends_, centre = centre_, source = source_;
    const auto types = graph.types, first = graph.first, count = graph.count, neighbor = graph.neighbor, edge_of = graph.edge_of;
    const auto vectors = vectors_, vec = graph.vec;
    const bool mixed = mixed_;
    Kokkos::parallel_for("mlff/nodes", Range(0, n), KOKKOS_LAMBDA(const int i) { node_of(nodes(i)) = i; });
    Kokkos::parallel_for(
        "mlff/centres", Range(0, n_owned), KOKKOS_LAMBDA(const int i) {
          for (int k = 0; k < first(i + 1) - first(i); ++k) centre(begin(i) + k) = i;
        });
    Kokkos::parallel_for("mlff/neighbours", Range(0, edges), KOKKOS_LAMBDA(const int e) { ends(e) = node_of(ends(e)); });
    Kokkos::parallel_for(
        "mlff/rows", Range(0, edges), KOKKOS_LAMBDA(const int e) {
          const int i = centre(e), from = begin(i), end = from + first(i + 1) - first(i), t = types(ends(e));
          int place = mixed ? 0 : e - from;
          if (mixed)
            for (int d = from; d < end; ++d) place += types(ends(d)) < t || (types(ends(d)) == t && d < e);
          const int c = first(i) + place;
          neighbor(c) = ends(e), source(c) = e, edge_of(c) = c;
          for (int x = 0; x < 3; ++x) vec(3 * std::int64_t(c) + x) = vectors(3 * std::int64_t(e) + x);
        });
    list_places<Space>(neighbor, edges, n, graph.in_first, graph.in, centre, count);
    Kokkos::parallel_for("mlff/counts", Range(0, n), KOKKOS_LAMBDA(const int i) { count(i) = first(i + 1) - first(i); });
  }

  /// To the host: energy [n_owned], grad [n_edges * 3], in its order.
  void fetch(double *host_energy, double *host_grad)
  {
    const auto nodes = order_, source = source_;
    const auto from = energy, to = sorted_energy_, grads = grad, vectors = vectors_;    // the vectors have been sorted, and are not needed any more
    Kokkos::parallel_for("mlff/energies", Range(0, graph.n_owned), KOKKOS_LAMBDA(const int i) { to(nodes(i)) = from(i); });
    Kokkos::parallel_for(
        "mlff/gradients", Range(0, int(graph.n_candidates)), KOKKOS_LAMBDA(const int c) {
          for (int x = 0; x < 3; ++x) vectors(3 * std::int64_t(source(c)) + x) = grads(3 * std::int64_t(c) + x);
        });
    copy_out<Space>(host_energy, sorted_energy_, graph.n_owned);
    copy_out<Space>(host_grad, vectors_, 3 * graph.n_candidates);
  }

  DeviceGraph<Space> graph;
  Doubles energy, grad;      // of the device, in its order
  std::vector<int> order;    // [n_nodes] of a node: which it is on the host

 private:
  template <typename Act> void each_array(Act &&act) const
  {
    const std::int64_t n = graph.n_nodes, edges = graph.n_candidates;
    for (auto [ints, label] : {std::pair(&order_, "order"), std::pair(&node_of_, "node of"), std::pair(&begin_, "begin"),
                               std::pair(&graph.types, "types"), std::pair(&graph.count, "count")})
      act(*ints, n, label);
    act(graph.first, n + 1, "first"), act(graph.in_first, n + 1, "in first");
    for (auto [ints, label] : {std::pair(&ends_, "ends"), std::pair(&centre_, "centre"), std::pair(&source_, "source"), std::pair(&graph.in, "in"),
                               std::pair(&graph.neighbor, "neighbor"), std::pair(&graph.edge_of, "edge of")})
      act(*ints, edges, label);
    act(graph.vec, 3 * edges, "vec"), act(vectors_, 3 * edges, "vectors"), act(grad, 3 * edges, "grad");
    act(energy, n, "energy"), act(sorted_energy_, n, "sorted energy");
  }

  int n_types_ = 0;
  bool mixed_ = false;                            // nodes are of several elements
  std::vector<int> types_, first_, row_;          // by node: element, row here, row on the host
  Ints order_, node_of_, begin_;                  // of the device: order and row_; of a node on the host: which it is here
  Ints ends_, centre_, source_;                   // by edge on the host: its neighbour and centre here; by edge here: which it is on the host
  Doubles vectors_, sorted_energy_;               // by edge and node on the host
};

}    // namespace metalff
