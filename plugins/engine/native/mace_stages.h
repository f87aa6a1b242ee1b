// MACE on lanes that are threads: the stages of a layer, an atom or some rows at a time, for whoever has all atoms of a chunk in one memory.
#pragma once

#include "mace_tables.h"

#include <cmath>
#include <cstddef>

namespace metalff {

constexpr int gemm_rows_at_once = 6;

/// Pointers into a DeviceGraph.
struct GraphRows {
  const int *types, *first, *count, *neighbor;
  const double *vec;
};

/// Fast memory of the lanes that work on an atom: what `width` of its edges need.
template <class P> struct EdgeBatch {
  using T = typename P::T;
  T *angular, *radial, *dr;
  Hermite<T> *weights;
  Edge<T> *edges;

  static std::size_t bytes(const MaceLayerTable<T> &t)
  {
    return P::width * (sizeof(Edge<T>) + sizeof(Hermite<T>) + (t.couplings.entries + 1) * sizeof(T)) + 2 * t.D * sizeof(T) + 8;
  }
  METALFF_INLINE EdgeBatch(const MaceLayerTable<T> &t, std::byte *memory)
  {
    edges = reinterpret_cast<Edge<T> *>(memory);
    weights = reinterpret_cast<Hermite<T> *>(edges + P::width);
    angular = reinterpret_cast<T *>(weights + P::width);
    radial = angular + std::size_t(t.couplings.entries) * P::width;
    dr = radial + 2 * t.D;
  }
};

/// Features that neighbours sent, and the places of each edge's part of dE/d them, from the first edge of the chunk on.
template <typename T> struct Sources {
  const T *sent;
  T *slots;
};

/// One edge per lane: its length, its direction from the neighbour to the centre, and all that the paths need in fast memory.
template <class P, typename T = typename P::T, typename V = typename P::V>
METALFF_INLINE void stage_edges(const MaceLayerTable<T> &t, const GraphRows &graph, int type, int from, int end, int first_edge, const Sources<T> &sources,
                                const EdgeBatch<P> &batch, V (&u)[3], double &r)
{
  const int lane = P::lane(), e = from + lane;
  double x = t.r_max, y = 0.0, z = 0.0;
  int neighbor = 0;
  if (e < end) {
    neighbor = graph.neighbor[e];
    x = graph.vec[3 * std::size_t(e)], y = graph.vec[3 * std::size_t(e) + 1], z = graph.vec[3 * std::size_t(e) + 2];
  }
  r = std::sqrt(x * x + y * y + z * z);
  const double per = -1.0 / r, at = r / t.spacing;
  u[0] = T(x * per), u[1] = T(y * per), u[2] = T(z * per);
  int knot = int(at);
  knot = knot < 0 ? 0 : knot > t.knots - 2 ? t.knots - 2 : knot;    // of NaN: any
  hermite_weights<P>(T(at - knot), T(1.0 / t.spacing), batch.weights);
  if (r >= t.r_max)    // beyond: counts for nothing
    for (int k = 0; k < hermite_rows; ++k) batch.weights[lane].value[k] = batch.weights[lane].slope[k] = 0;
  const int of = e < end ? t.pair[type * t.types + graph.types[neighbor]] : 0;
  const std::size_t width = t.sent_width();
  batch.edges[lane] = {t.radial + (std::size_t(of) * t.knots + knot) * 3 * t.columns, sources.sent + neighbor * width,
                       sources.slots ? sources.slots + std::size_t(e - first_edge) * width : nullptr};
  angular_factors<P>(t.couplings, u, batch.angular);
}

template <typename T> METALFF_INLINE T density_term(const MaceLayerTable<T> &t, const Edge<T> &edge, const T (&weights)[hermite_rows])
{
  T sum = 0;
  for (int k = 0; k < hermite_rows; ++k) sum += weights[k] * edge.row[std::size_t(k) * t.columns + t.n_paths * t.D];
  return sum;
}

/// What goes over the edges of the atoms of a chunk, from `begin` on.
template <class P> struct OverEdges {
  using T = typename P::T;
  using V = typename P::V;
  MaceLayerTable<T> t;
  GraphRows graph;
  int begin, chunk;
  Sources<T> sources;

  METALFF_INLINE int first(int item) const { return graph.first[begin + item]; }
  METALFF_INLINE int end(int item) const { return first(item) + graph.count[begin + item]; }
  /// Stages up to `width` edges of an atom; how many there are.
  METALFF_INLINE int stage(int item, int from, const EdgeBatch<P> &batch, V (&u)[3], double &r) const
  {
    stage_edges<P>(t, graph, graph.types[begin + item], from, end(item), graph.first[begin], sources, batch, u, r);
    P::sync();
    return end(item) - from < P::width ? end(item) - from : P::width;
  }
  /// Where the messages of a path to an atom begin.
  METALFF_INLINE std::size_t place(int item, const PathPlan &path, std::size_t stride) const
  {
    return t.message_start[path.l3] * chunk + std::size_t(item) * (2 * path.l3 + 1) * stride + path.target;
  }
};

/// Messages to the atoms of a chunk.
template <class P, bool first_layer> struct GatherMessages : OverEdges<P> {
  using T = typename P::T;
  using V = typename P::V;
  using OverEdges<P>::t;
  T *messages, *density;

  METALFF_FUNCTION void operator()(int item, std::byte *memory) const
  {
    const EdgeBatch<P> batch(t, memory);
    const int first = this->first(item), end = this->end(item);
    T dense = 0;
    for (int from = first; from < end || from == first; from += P::width) {
      V u[3];
      double r;
      const int n = this->stage(item, from, batch, u, r);
      for (int p = 0; p < t.n_paths; ++p) {
        const PathPlan path = t.paths[p];
        const std::size_t stride = t.linear[path.l3].in;
        T *out = messages + this->place(item, path, stride);
        with_path<first_layer>(path.l1, path.l3, [&]<int l1, int l3>() {
          gather_path<P, l1, l3, first_layer>(path, 0, n, batch.edges, batch.weights, batch.angular, t.couplings.entries, t.columns, t.D, out,
                                              stride, from != first);
        });
      }
      if (t.has_density) P::lanes([&](int lane) {
        if (lane < n) dense += density_term(t, batch.edges[lane], batch.weights[lane].value);
      });
      P::sync();
    }
    if (t.has_density) {
      dense = 1 + P::total(dense);
      P::once([&] { density[this->begin + item] = dense; });
    }
  }
};

/// From dE/d messages to dE/d vec of the edges, and to each edge's part of dE/d what its neighbour sent.
template <class P, bool first_layer> struct ScatterGradients : OverEdges<P> {
  using T = typename P::T;
  using V = typename P::V;
  using OverEdges<P>::t;
  const T *dmessages, *ddensity;
  double *grad;

  METALFF_FUNCTION void operator()(int item, std::byte *memory) const
  {
    const EdgeBatch<P> batch(t, memory);
    const int first = this->first(item), end = this->end(item), entries = t.couplings.entries;
    for (int from = first; from < end; from += P::width) {
      V u[3];
      double r;
      const int n = this->stage(item, from, batch, u, r);
      for (int e = 0; e < n; ++e) {
        const Edge<T> edge = batch.edges[e];
        if constexpr (!first_layer)
          for (int v = 0; v < t.sent_width() / P::width; ++v) P::of(edge.dsource, v) = P::all(0);
        V dr = P::all(0);
        for (int p = 0; p < t.n_paths; ++p) {
          const PathPlan path = t.paths[p];
          const std::size_t stride = t.linear[path.l3].in;
          const T *of = dmessages + this->place(item, path, stride);
          T *M = of_edge<P>(batch.angular, entries, e) + path.angular * P::width;
          radial_functions<P>(edge.row + path.radial, batch.weights[e], t.columns, t.D, batch.radial, batch.radial + t.D);
          with_path<first_layer>(path.l1, path.l3, [&]<int l1, int l3>() {
            scatter_path<P, l1, l3, first_layer>(edge, batch.radial, batch.radial + t.D, M, t.D, of, stride, M, dr);
          });
        }
        T slope = P::sum(dr);
        if (t.has_density) slope += ddensity[this->begin + item] * density_term(t, edge, batch.weights[e].slope);
        P::once([&] { batch.dr[e] = slope; });
      }
      P::sync();
      V across[3];
      angular_gradient<P>(t.couplings, u, batch.angular, across);
      P::lanes([&](int lane) {
        if (lane >= n || r >= t.r_max) return;
        double *out = grad + 3 * std::size_t(from + lane);
        for (int c = 0; c < 3; ++c)    // u points from the neighbour to the centre, against the edge
          out[c] -= double(batch.dr[lane]) * double(P::get(u[c], lane)) + double(P::get(across[c], lane)) / r;
      });
      P::sync();
    }
  }
};

/// Sums each edge's part of dE/d what a node sent, in the order of the centres.
template <class P> struct GatherGradients {
  using T = typename P::T;
  using V = typename P::V;
  const int *in_first, *in, *edge_of;
  const T *slots;
  const int *first;
  int begin, end_node, width;
  bool add;
  T *dsent;

  METALFF_FUNCTION void operator()(int node, std::byte *) const
  {
    const int first_edge = first[begin], last_edge = first[end_node];
    int low = in_first[node], end = in_first[node + 1], high = end;    // candidates of the chunk are in one piece
    while (low < high) {
      const int middle = low + (high - low) / 2;
      if (in[middle] < first_edge)
        low = middle + 1;
      else
        high = middle;
    }
    T *out = dsent + std::size_t(node) * width;
    for (int v = 0; v < width / P::width; ++v) {
      V sum = add ? P::of(out, v) : P::all(0);
      for (int k = low; k < end; ++k) {
        const int candidate = in[k];
        if (candidate >= last_edge) break;
        const int e = edge_of[candidate];
        if (e >= 0) sum += P::of(slots + std::size_t(e - first_edge) * width, v);
      }
      P::of(out, v) = sum;
    }
  }
};

/// Linear maps, those of several l at once: so many rows of C = A·B per item.
template <class P, class MatrixA, class MatrixC> struct MultiplyRows {
  using T = typename P::T;
  struct Product {
    int rows, N, K;
    MatrixA A;
    const T *B;
    MatrixC C;
    bool add;
  };
  Product products[mace_l_most + 1];
  int ends[mace_l_most + 1];    // items
  int n = 0;

  void push(const Product &product)
  {
    products[n] = product;
    ends[n] = items() + (product.rows + gemm_rows_at_once - 1) / gemm_rows_at_once;
    ++n;
  }
  int items() const { return n ? ends[n - 1] : 0; }

  METALFF_FUNCTION void operator()(int item, std::byte *) const
  {
    int at = 0;
    while (item >= ends[at]) ++at;
    const Product &product = products[at];
    const int top = (item - (at ? ends[at - 1] : 0)) * gemm_rows_at_once, left = product.rows - top;
    gemm_rows<P, 4>(top, left < gemm_rows_at_once ? left : gemm_rows_at_once, product.N, product.K, product.A, product.B, product.N, product.C,
                    product.add);
  }
};

constexpr int product_atoms = 2;    // at a time: weights are read once for them

template <class P> struct ProductForward {
  using T = typename P::T;
  ProductTable<T> table;
  int type, atoms, registers;
  FeatureRows<const T> x;
  FeatureRows<T> y;

  METALFF_FUNCTION void operator()(int item, std::byte *) const
  {
    const int v = item % registers, a = item / registers * product_atoms;
    if (a + product_atoms <= atoms)
      product_forward<P, product_atoms>(table, type, x, y, a, v);
    else
      product_forward<P, 1>(table, type, x, y, a, v);
  }
};

template <class P> struct ProductBackward {
  using T = typename P::T;
  ProductTable<T> table;
  int type, atoms, registers;
  FeatureRows<const T> x, dy;
  FeatureRows<T> dx;

  METALFF_FUNCTION void operator()(int item, std::byte *) const
  {
    const int v = item % registers, a = item / registers * product_atoms;
    if (a + product_atoms <= atoms)
      product_backward<P, product_atoms>(table, type, x, dy, dx, a, v);
    else
      product_backward<P, 1>(table, type, x, dy, dx, a, v);
  }
};

/// Features divided by the density of their atom; and backward: dE/d them before, and dE/d density.
template <class P> struct DivideByDensity {
  using T = typename P::T;
  int l_max;
  FeatureRows<T> x;
  const T *density;

  METALFF_FUNCTION void operator()(int a, std::byte *) const
  {
    const T per = 1 / density[a];
    for (int l = 0; l <= l_max; ++l)
      for (int v = 0; v < (2 * l + 1) * x.channels / P::width; ++v) P::of(x.of(l, a), v) *= per;
  }
};
template <class P> struct DensityGradient {
  using T = typename P::T;
  int l_max;
  FeatureRows<const T> x;
  FeatureRows<T> dx;
  const T *density;
  T *ddensity;

  METALFF_FUNCTION void operator()(int a, std::byte *) const
  {
    const T per = 1 / density[a];
    typename P::V sum = P::all(0);
    for (int l = 0; l <= l_max; ++l)
      for (int v = 0; v < (2 * l + 1) * x.channels / P::width; ++v) {
        auto &d = P::of(dx.of(l, a), v);
        d *= per;
        sum -= P::of(x.of(l, a), v) * d;
      }
    const T total = P::sum(sum);
    P::once([&] { ddensity[a] = total; });
  }
};

template <class P> struct Readout {
  using T = typename P::T;
  ReadoutTable<T> table;
  FeatureRows<const T> x;
  FeatureRows<T> dx;
  double *energy;

  METALFF_FUNCTION void operator()(int a, std::byte *memory) const
  {
    const T part = readout_energy<P>(table, x.of(0, a), reinterpret_cast<T *>(memory), dx.of(0, a));
    P::once([&] { energy[a] += double(part); });
  }
};

}    // namespace metalff
