// Neighbours of one atom, found in a graph or in the rows of an MD program, by element in the lanes of registers: for models that are local
// and have edges in their lanes.
#pragma once

#include "../model.h"
#include "simd.h"
#include "threads.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace metalff {

/// One neighbour: its edge in the graph, or its number in the row; the vector from the centre, Å.
struct Near {
  int64_t edge;
  double x, y, z, r2;
};

/// Those of one atom that are within the cutoff, sorted by element, and buffers.
struct Vicinity {
  std::vector<Near> near, sorted;
  std::vector<int> start;                   // [types + 1] where each element begins among the sorted
  std::vector<int> neighbor, element;       // of a walk
  Buffer<double> vectors, grad;
  int n = 0;

  const std::vector<Near> &by_element() const { return start.size() > 2 ? sorted : near; }

  /// In a graph. \param cutoff of a neighbour's element
  template <typename Cutoff> void look(const Graph &graph, int i, int types, Cutoff &&cutoff)
  {
    const int64_t first = graph.first[i], last = graph.first[i + 1];
    room_for(std::size_t(last - first));
    n = 0;
    start.assign(types + 1, 0);
    for (int64_t e = first; e < last; ++e) {
      const double *v = &graph.edge_vec[3 * e], r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
      const int other = graph.types[graph.neighbor[e]];
      const double rc = cutoff(other);
      near[n] = {e, v[0], v[1], v[2], r2};
      const bool within = !(r2 >= rc * rc);    // NaN goes on
      n += within, start[other + 1] += within;
    }
    sort(types, [&](const Near &one) { return graph.types[graph.neighbor[one.edge]]; });
  }

  /// In its row. Edges are numbered as they are found; what was seen is noted in `around`.
  template <typename Cutoff> void look(Surroundings &around, int i, int types, Cutoff &&cutoff)
  {
    const int most = around.neighbors.count[i], *row = around.neighbors[i];
    const std::ptrdiff_t step = around.neighbors.step;
    room_for(most);
    if (neighbor.size() < std::size_t(most)) neighbor.resize(most), element.resize(most);
    double *x = room(vectors, 4 * std::size_t(most)), *y = x + most, *z = y + most, *squares = z + most;
    const double *centre = around.x + 3 * std::size_t(i);
    for (int k = 0; k < most; ++k) {    // in registers; what comes next is not
      const double *other = around.x + 3 * std::size_t(row[k * step] & around.mask);
      x[k] = other[0] - centre[0], y[k] = other[1] - centre[1], z[k] = other[2] - centre[2];
      squares[k] = x[k] * x[k] + y[k] * y[k] + z[k] * z[k];
    }
    const double r2_max = around.r_max * around.r_max;
    int found = 0;
    for (int k = 0; k < most; ++k) {
      neighbor[found] = k;
      found += !(squares[k] >= r2_max);    // NaN goes on
    }
    start.assign(types + 1, 0);
    n = 0;
    int seen = 0;
    double shortest = around.shortest_squared;
    for (int f = 0; f < found; ++f) {
      const int k = neighbor[f], j = row[k * step] & around.mask, other = around.element[around.type[j]];
      if (other < 0) continue;
      ++seen;
      shortest = std::min(shortest, squares[k]);
      const double rc = cutoff(other);
      neighbor[n] = j, element[n] = other;
      near[n] = {n, x[k], y[k], z[k], squares[k]};
      const bool within = !(squares[k] >= rc * rc);
      n += within, start[other + 1] += within;
    }
    around.shortest_squared = shortest;
    around.most_neighbors = std::max(around.most_neighbors, seen), around.fewest_neighbors = std::min(around.fewest_neighbors, seen);
    sort(types, [&](const Near &one) { return element[one.edge]; });
  }

  /// Room for dE/d of the vectors that a walk found; zeros.
  double *zeros()
  {
    double *values = room(grad, 3 * std::size_t(n));
    std::fill_n(values, 3 * n, 0.0);
    return values;
  }

  /// Forces and sums from the gradients of what a walk found around atom i.
  void scatter(Surroundings &around, int i) const
  {
    double mine[3] = {}, w[6] = {};
    for (int k = 0; k < n; ++k) {
      const Near &one = near[k];
      const double *g = grad.data() + 3 * k;
      const int j = neighbor[k];
      double *force = around.force + 3 * std::size_t(around.image_of ? around.image_of[j] : j);
      for (int c = 0; c < 3; ++c) mine[c] += g[c], force[c] -= around.unit_of_force * g[c];
      w[0] += one.x * g[0], w[1] += one.y * g[1], w[2] += one.z * g[2];
      w[3] += one.x * g[1], w[4] += one.x * g[2], w[5] += one.y * g[2];
    }
    for (int c = 0; c < 3; ++c) around.force[3 * std::size_t(i) + c] += around.unit_of_force * mine[c];
    for (int c = 0; c < 6; ++c) around.w[c] += w[c];
  }

 private:
  void room_for(std::size_t most)
  {
    if (near.size() < most) near.resize(most), sorted.resize(most);
  }

  /// By element, of which start counts each from its second entry on.
  template <typename Element> void sort(int types, Element &&element_of)
  {
    for (int t = 0; t < types; ++t) start[t + 1] += start[t];
    if (types == 1) return;
    std::vector<int> &at = start;    // shifted by one element while it is used, and back
    for (int k = 0; k < n; ++k) sorted[at[element_of(near[k])]++] = near[k];
    for (int t = types; t > 0; --t) at[t] = at[t - 1];
    at[0] = 0;
  }
};

/// Neighbours in registers, each element's filled up to whole ones.
template <typename T> struct Neighbours {
  static constexpr int W = width<T>;
  struct Run {
    int type, begin, end;    // registers
  };
  std::vector<Run> runs;
  std::vector<int64_t> edge;    // -1: a lane without edge
  Buffer<double> r;
  Buffer<T> length, unit;       // [registers][width], [registers][3][width], from the centre to the neighbour
  int registers = 0;

  /// Those within a cutoff; lanes that are left over lie at it, and so add nothing.
  template <typename Cutoff> void fill(const Vicinity &vicinity, Cutoff &&cutoff)
  {
    const std::vector<int> &start = vicinity.start;
    const Near *near = vicinity.by_element().data();
    const int types = int(start.size()) - 1;
    const std::size_t most = std::size_t(start.back()) + std::size_t(types) * W;
    room(r, most), room(length, most), room(unit, 3 * most);
    if (edge.size() < most) edge.resize(most);
    runs.clear();
    int n = 0;
    for (int t = 0; t < types; ++t) {
      const int begin = n;
      const double rc = cutoff(t);
      for (int k = start[t]; k < start[t + 1]; ++k) {
        if (near[k].r2 >= rc * rc) continue;
        const double distance = std::sqrt(near[k].r2), per = 1.0 / distance;
        T *u = &unit[std::size_t(n / W) * 3 * W + n % W];
        edge[n] = near[k].edge, r[n] = distance, length[n] = T(distance);
        u[0] = T(near[k].x * per), u[W] = T(near[k].y * per), u[2 * W] = T(near[k].z * per);
        ++n;
      }
      for (; n % W; ++n) {
        T *u = &unit[std::size_t(n / W) * 3 * W + n % W];
        edge[n] = -1, r[n] = 1.0, length[n] = T(rc);
        u[0] = T(1), u[W] = u[2 * W] = T(0);
      }
      if (n > begin) runs.push_back({t, begin / W, n / W});
    }
    registers = n / W;
  }

  const Lanes<T> (&direction(int b) const)[3] { return reinterpret_cast<const Lanes<T>(&)[3]>(lanes(unit.data(), 3 * b)); }

  /// Adds dE/d of the vectors of a register to those of their edges.
  void store(int b, Lanes<T> x, Lanes<T> y, Lanes<T> z, double *edge_grad) const
  {
    for (int lane = 0; lane < W; ++lane) {
      const int64_t e = edge[b * W + lane];
      if (e < 0) return;
      double *out = edge_grad + 3 * e;
      out[0] += double(x[lane]), out[1] += double(y[lane]), out[2] += double(z[lane]);
    }
  }
};

inline int part_begin(int n, int part, int parts) { return int(std::int64_t(n) * part / parts); }

/// Calls act(part of the surroundings, thread, begin, end) for the atoms of each thread, which has sums of its own, and all but the first forces
/// of their own, too; then adds everything up. \param forces [threads] buffers
template <typename Act> void walk_in_parts(Surroundings &around, int threads, std::vector<Buffer<double>> &forces, Act &&act)
{
  around.energy = 0.0, around.shortest_squared = std::numeric_limits<double>::infinity();
  around.most_neighbors = 0, around.fewest_neighbors = std::numeric_limits<int>::max();
  std::fill_n(around.w, 6, 0.0);
  std::vector<Surroundings> parts(threads, around);
  const std::size_t numbers = 3 * std::size_t(around.n_all);
  share(threads, threads, [&](int part, int) {
    if (part > 0) std::fill_n(parts[part].force = room(forces[part], numbers), numbers, 0.0);
    act(parts[part], part, part_begin(around.n, part, threads), part_begin(around.n, part + 1, threads));
  });
  for (const Surroundings &part : parts) {
    around.energy += part.energy;
    for (int c = 0; c < 6; ++c) around.w[c] += part.w[c];
    around.shortest_squared = std::min(around.shortest_squared, part.shortest_squared);
    around.most_neighbors = std::max(around.most_neighbors, part.most_neighbors);
    around.fewest_neighbors = std::min(around.fewest_neighbors, part.fewest_neighbors);
  }
  share(threads, threads, [&](int part, int) {
    const std::size_t begin = 3 * std::size_t(part_begin(around.n_all, part, threads));
    const std::size_t end = 3 * std::size_t(part_begin(around.n_all, part + 1, threads));
    for (int other = 1; other < threads; ++other)
      for (std::size_t k = begin; k < end; ++k) around.force[k] += parts[other].force[k];
  });
}

}    // namespace metalff
