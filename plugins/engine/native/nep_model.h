// The driver of nep_atom.h on a host: neighbours in registers, one atom at a time.
#pragma once

#include "../error.h"
#include "../model.h"
#include "nep_arrays.h"
#include "nep_atom.h"
#include "nep_weights.h"
#include "simd.h"
#include "threads.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace metalff {

constexpr int share_atoms = 16;    // that a thread takes at a time

/// Neighbours of one atom, sorted by element, each element's filled up to whole registers.
template <typename T> struct Neighbours {
  struct Run {
    int type, begin, end;    // registers
  };
  std::vector<Run> runs;
  std::vector<int64_t> edge;    // in the graph; -1: a lane without edge
  Buffer<double> r;
  Buffer<T> length, unit;       // [registers][width], [registers][3][width], from the centre to the neighbour
  int registers = 0;
};

template <typename T> struct NepWorkspace {
  struct Near {
    int64_t edge;
    double x, y, z, r2;
  };
  std::vector<Near> near, sorted;
  std::vector<int> start;
  std::vector<int> neighbor, element;       // of a walk
  Buffer<double> vectors, grad, force;
  Neighbours<T> radial, angular;
  std::vector<Argument<Simd<T>>> arguments; // of the radial neighbours
  Buffer<T> Y, g, dg;                       // [registers][harmonics | n][width] of the angular neighbours
  Buffer<T> S, dS;                          // [groups of n][harmonics][width]: densities, lanes over n
  Buffer<T> q, dq, z, slope, sums, series;
  Buffer<T> functions;                      // [runs][K]: Chebyshev functions summed over the radial neighbours of one element (add_radial)
};

template <typename T> class NativeNep : public Model {
  using P = Simd<T>;
  static constexpr int W = P::width;

 public:
  NativeNep(NepWeights weights, const Options &options) :
      w_(std::move(weights)), zbl_(w_), arrays_(w_, W, w_.n_angular, w_.n_angular), t_(arrays_.tables()),
      threads_(std::max(1, options.threads)), workspaces_(threads_), harmonics_(t_.harmonics), groups_((w_.n_angular + W - 1) / W)
  {
  }

  std::string engine() const override
  {
    return register_bytes == 64 ? "native, AVX-512" : register_bytes == 32 ? "native, AVX2" : "native";
  }

  void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad, Exchange *) override
  {
    std::fill_n(edge_grad, 3 * graph.n_edges(), 0.0);
    share((graph.n_owned + share_atoms - 1) / share_atoms, threads_, [&](int item, int thread) {
      const int end = std::min(graph.n_owned, (item + 1) * share_atoms);
      for (int i = item * share_atoms; i < end; ++i) atomic_energy[i] = atom(graph, i, workspaces_[thread], edge_grad);
    });
  }

  bool walk(Surroundings &around) override
  {
    around.energy = 0.0, around.shortest_squared = std::numeric_limits<double>::infinity();
    around.most_neighbors = 0, around.fewest_neighbors = std::numeric_limits<int>::max();
    std::fill_n(around.w, 6, 0.0);
    // every thread has atoms and sums of its own, all but the first forces of its own, too
    std::vector<Surroundings> parts(threads_, around);
    const std::size_t numbers = 3 * std::size_t(around.n_all);
    share(threads_, threads_, [&](int part, int) {
      Surroundings &mine = parts[part];
      NepWorkspace<T> &s = workspaces_[part];
      if (part > 0) std::fill_n(mine.force = room(s.force, numbers), numbers, 0.0);
      const int end = part_begin(around.n, part + 1);
      for (int i = part_begin(around.n, part); i < end; ++i) {
        const int element = around.element[around.type[i]];
        if (element < 0) continue;
        const double energy = walk_atom(mine, i, element, s);
        mine.energy += energy;
        if (around.atomic_energy) around.atomic_energy[i] = energy;
      }
    });
    for (const Surroundings &part : parts) {
      around.energy += part.energy;
      for (int c = 0; c < 6; ++c) around.w[c] += part.w[c];
      around.shortest_squared = std::min(around.shortest_squared, part.shortest_squared);
      around.most_neighbors = std::max(around.most_neighbors, part.most_neighbors);
      around.fewest_neighbors = std::min(around.fewest_neighbors, part.fewest_neighbors);
    }
    share(threads_, threads_, [&](int part, int) {
      const std::size_t begin = 3 * std::size_t(part_begin(around.n_all, part)), end = 3 * std::size_t(part_begin(around.n_all, part + 1));
      for (int other = 1; other < threads_; ++other)
        for (std::size_t k = begin; k < end; ++k) around.force[k] += parts[other].force[k];
    });
    return true;
  }

 protected:
  int part_begin(int n, int part) const { return int(std::int64_t(n) * part / threads_); }

  /// The parameters anew, from w_.
  void arrange() { arrays_.arrange(w_); }

  // apart: inlined in one place and in another, these round in one way and in another
  METALFF_APART double atom(const Graph &graph, int i, NepWorkspace<T> &s, double *edge_grad) const
  {
    const int type = graph.types[i];
    select(graph, i, type, s);
    double energy = selected(type, s, edge_grad);
    if (w_.zbl.present) energy += zbl_.add(graph, i, edge_grad);
    return energy;
  }

  /// Energy of an atom whose neighbours are selected; adds to dE/d of their vectors.
  METALFF_APART double selected(int type, NepWorkspace<T> &s, double *edge_grad) const
  {
    T *q = room(s.q, t_.Q);
    std::fill_n(q, t_.Q, T(0));
    radial_forward(type, s, q);
    angular_forward(type, s, q + w_.n_radial);
    const double energy = energy_of(type, s);
    radial_backward(type, s, edge_grad);
    angular_backward(s, edge_grad);
    return energy;
  }

  /// An atom as its row of neighbours has it. Edges are numbered as they are found.
  METALFF_APART double walk_atom(Surroundings &around, int i, int type, NepWorkspace<T> &s) const
  {
    using Near = typename NepWorkspace<T>::Near;
    const int most = around.neighbors.count[i], *row = around.neighbors[i];
    const std::ptrdiff_t step = around.neighbors.step;
    if (s.near.size() < std::size_t(most)) s.near.resize(most), s.sorted.resize(most);
    if (s.neighbor.size() < std::size_t(most)) s.neighbor.resize(most), s.element.resize(most);
    double *vectors = room(s.vectors, 4 * std::size_t(most)), *x = vectors, *y = x + most, *z = y + most, *squares = z + most;
    const double *centre = around.x + 3 * std::size_t(i);
    for (int k = 0; k < most; ++k) {    // in registers; what comes next is not
      const double *other = around.x + 3 * std::size_t(row[k * step] & around.mask);
      x[k] = other[0] - centre[0], y[k] = other[1] - centre[1], z[k] = other[2] - centre[2];
      squares[k] = x[k] * x[k] + y[k] * y[k] + z[k] * z[k];
    }
    const double r2_max = around.r_max * around.r_max;
    int found = 0, n = 0;
    for (int k = 0; k < most; ++k) {
      s.neighbor[found] = k;
      found += !(squares[k] >= r2_max);    // NaN goes on
    }
    s.start.assign(t_.types + 1, 0);
    int seen = 0;
    double shortest = around.shortest_squared;
    for (int f = 0; f < found; ++f) {
      const int k = s.neighbor[f], j = row[k * step] & around.mask, element = around.element[around.type[j]];
      if (element < 0) continue;
      ++seen;
      shortest = std::min(shortest, squares[k]);
      const double rc = t_.radial_cutoff(type, element);
      s.neighbor[n] = j, s.element[n] = element;
      s.near[n] = {n, x[k], y[k], z[k], squares[k]};
      const bool within = !(squares[k] >= rc * rc);
      n += within, s.start[element + 1] += within;
    }
    around.shortest_squared = shortest;
    around.most_neighbors = std::max(around.most_neighbors, seen), around.fewest_neighbors = std::min(around.fewest_neighbors, seen);
    arrange_near(n, type, s, [&](const Near &near) { return s.element[near.edge]; });
    double *grad = room(s.grad, 3 * std::size_t(n));
    std::fill_n(grad, 3 * n, 0.0);
    double energy = selected(type, s, grad);
    if (w_.zbl.present)
      for (int k = 0; k < n; ++k) {
        const Near &near = s.near[k];
        energy += zbl_.add(type, s.element[k], near.x, near.y, near.z, grad + 3 * k);
      }
    double mine[3] = {}, w[6] = {};
    for (int k = 0; k < n; ++k) {
      const Near &near = s.near[k];
      const double *g = grad + 3 * k;
      const int j = s.neighbor[k];
      double *force = around.force + 3 * std::size_t(around.image_of ? around.image_of[j] : j);
      for (int c = 0; c < 3; ++c) mine[c] += g[c], force[c] -= around.unit_of_force * g[c];
      w[0] += near.x * g[0], w[1] += near.y * g[1], w[2] += near.z * g[2];
      w[3] += near.x * g[1], w[4] += near.x * g[2], w[5] += near.y * g[2];
    }
    for (int c = 0; c < 3; ++c) around.force[3 * std::size_t(i) + c] += around.unit_of_force * mine[c];
    for (int c = 0; c < 6; ++c) around.w[c] += w[c];
    return energy;
  }

  /// Neighbours within the two cutoffs.
  void select(const Graph &graph, int i, int type, NepWorkspace<T> &s) const
  {
    using Near = typename NepWorkspace<T>::Near;
    const int64_t first = graph.first[i], last = graph.first[i + 1];
    if (s.near.size() < std::size_t(last - first)) s.near.resize(last - first), s.sorted.resize(last - first);
    int n = 0;
    s.start.assign(t_.types + 1, 0);
    for (int64_t e = first; e < last; ++e) {
      const double *v = &graph.edge_vec[3 * e], r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
      const int other = graph.types[graph.neighbor[e]];
      const double rc = t_.radial_cutoff(type, other);
      s.near[n] = {e, v[0], v[1], v[2], r2};
      const bool within = !(r2 >= rc * rc);    // NaN goes on
      n += within, s.start[other + 1] += within;
    }
    arrange_near(n, type, s, [&](const Near &near) { return graph.types[graph.neighbor[near.edge]]; });
  }

  /// Registers of the first n near ones, by element. s.start counts those of each, from its second entry on.
  template <typename Element> void arrange_near(int n, int type, NepWorkspace<T> &s, Element &&element) const
  {
    const typename NepWorkspace<T>::Near *near = s.near.data();
    for (int t = 0; t < t_.types; ++t) s.start[t + 1] += s.start[t];
    if (t_.types > 1) {
      std::vector<int> &at = s.start;    // shifted by one element while it is used, and back
      for (int k = 0; k < n; ++k) s.sorted[at[element(near[k])]++] = near[k];
      for (int t = t_.types; t > 0; --t) at[t] = at[t - 1];
      at[0] = 0;
      near = s.sorted.data();
    }
    fill(s.radial, near, s.start, [&](int t) { return t_.radial_cutoff(type, t); });
    fill(s.angular, near, s.start, [&](int t) { return t_.angular_cutoff(type, t); });
  }

  template <typename Near, typename Cutoff>
  void fill(Neighbours<T> &list, const Near *near, const std::vector<int> &start, Cutoff &&cutoff) const
  {
    const std::size_t most = std::size_t(start.back()) + std::size_t(t_.types) * W;
    room(list.r, most), room(list.length, most), room(list.unit, 3 * most);
    if (list.edge.size() < most) list.edge.resize(most);
    list.runs.clear();
    int n = 0;
    for (int t = 0; t < t_.types; ++t) {
      const int begin = n;
      const double rc = cutoff(t);
      for (int k = start[t]; k < start[t + 1]; ++k) {
        if (near[k].r2 >= rc * rc) continue;
        const double r = std::sqrt(near[k].r2), per = 1.0 / r;
        T *unit = &list.unit[std::size_t(n / W) * 3 * W + n % W];
        list.edge[n] = near[k].edge, list.r[n] = r, list.length[n] = T(r);
        unit[0] = T(near[k].x * per), unit[W] = T(near[k].y * per), unit[2 * W] = T(near[k].z * per);
        ++n;
      }
      for (; n % W; ++n) {    // at the cutoff: adds nothing
        T *unit = &list.unit[std::size_t(n / W) * 3 * W + n % W];
        list.edge[n] = -1, list.r[n] = 1.0, list.length[n] = T(rc);
        unit[0] = T(1), unit[W] = unit[2 * W] = T(0);
      }
      if (n > begin) list.runs.push_back({t, begin / W, n / W});
    }
    list.registers = n / W;
  }

  void radial_forward(int type, NepWorkspace<T> &s, T *q) const
  {
    if (int(s.arguments.size()) < s.radial.registers) s.arguments.resize(s.radial.registers + 8);
    T *sums = room(s.sums, std::size_t(t_.K) * W), *functions = room(s.functions, s.radial.runs.size() * t_.K);
    for (const auto &run : s.radial.runs) {
      std::fill_n(sums, t_.basis_radial * W, T(0));
      const T rc = T(t_.radial_cutoff(type, run.type));
      for (int b = run.begin; b < run.end; ++b) {
        s.arguments[b].set(lanes(s.radial.length.data(), b), rc);
        add_functions(s.arguments[b], t_.basis_radial, sums);
      }
      add_radial<P>(t_, t_.pair(type, run.type), sums, functions, q);
      functions += t_.K;
    }
  }

  void radial_backward(int type, NepWorkspace<T> &s, double *edge_grad) const
  {
    T *series = room(s.series, t_.K);
    const T *unit = s.radial.unit.data();
    for (const auto &run : s.radial.runs) {
      const T constant = radial_series<P>(t_, t_.pair(type, run.type), s.dq.data(), series);
      for (int b = run.begin; b < run.end; ++b) {
        const Lanes<T> dr = radial_slope(s.arguments[b], t_.basis_radial, series, constant);
        store(s.radial, b, dr * lanes(unit, 3 * b), dr * lanes(unit, 3 * b + 1), dr * lanes(unit, 3 * b + 2), edge_grad);
      }
    }
  }

  void store(const Neighbours<T> &list, int b, Lanes<T> x, Lanes<T> y, Lanes<T> z, double *edge_grad) const
  {
    for (int lane = 0; lane < W; ++lane) {
      const int64_t e = list.edge[b * W + lane];
      if (e < 0) return;
      double *out = edge_grad + 3 * e;
      out[0] += double(x[lane]), out[1] += double(y[lane]), out[2] += double(z[lane]);
    }
  }

  static void functions(Lanes<T> r, T rc, int K, Lanes<T> *f, Lanes<T> *df)
  {
    Argument<P> a;
    a.set(r, rc);
    basis(a, K, [&](int k, Lanes<T> x, Lanes<T> dx) { f[k] = x, df[k] = dx; });
  }

  /// Radial functions and harmonics of the angular neighbours, densities S_n,lm = Σ_j g_n Y_lm, invariants of these.
  void angular_forward(int type, NepWorkspace<T> &s, T *q) const
  {
    const int registers = s.angular.registers, n = w_.n_angular, K = w_.basis_angular;
    room(s.Y, std::size_t(registers) * harmonics_ * W), room(s.g, std::size_t(registers) * n * W);
    room(s.dg, std::size_t(registers) * n * W);
    Harmonics<P, nep_l_most> harmonics(norms_);
    for (const auto &run : s.angular.runs) {
      const T *c = t_.angular_of(t_.pair(type, run.type));
      const T rc = T(t_.angular_cutoff(type, run.type));
      for (int b = run.begin; b < run.end; ++b) {
        harmonics.values(w_.l_max, direction(s.angular, b), &lanes(s.Y.data(), b * harmonics_));
        Lanes<T> f[nep_basis_most], df[nep_basis_most];
        functions(lanes(s.angular.length.data(), b), rc, K, f, df);
        for (int m = 0; m < n; ++m) {
          Lanes<T> g = {}, dg = {};
          for (int k = 0; k < K; ++k) g += c[k * n + m] * f[k], dg += c[k * n + m] * df[k];
          lanes(s.g.data(), b * n + m) = g, lanes(s.dg.data(), b * n + m) = dg;
        }
      }
    }
    room(s.S, std::size_t(groups_) * harmonics_ * W), room(s.dS, std::size_t(groups_) * harmonics_ * W);
    for (int group = 0; group < groups_; ++group) {
      const int count = std::min(W, n - group * W);
      with_count(count, [&]<int N>() { densities<N>(s, group); });
      const Lanes<T> *S = &lanes(s.S.data(), group * harmonics_);
      invariants<Lanes<T>>(t_, [&](int h) -> const Lanes<T> & { return S[h]; }, [&](int kind, const Lanes<T> &value) {
        for (int k = 0; k < count; ++k) q[kind * n + group * W + k] = value[k];
      });
    }
  }

  /// Calls act<N>() for a number of radial functions up to that of lanes.
  template <typename Act, int N = W> static void with_count(int count, Act &&act)
  {
    if constexpr (N > 1) {
      if (count < N) return with_count<Act, N - 1>(count, std::forward<Act>(act));
    }
    act.template operator()<N>();
  }

  /// Densities of N radial functions: as many sums at a time as there are registers for.
  template <int N> void densities(NepWorkspace<T> &s, int group) const
  {
    constexpr int at_once = std::max(1, (register_bytes == 64 ? 24 : 10) / N);
    const int registers = s.angular.registers, n = w_.n_angular;
    auto some = [&]<int L>(int h) {
      Lanes<T> sum[L][N] = {};
      for (int b = 0; b < registers; ++b) {
        const Lanes<T> *Y = &lanes(s.Y.data(), b * harmonics_ + h), *g = &lanes(s.g.data(), b * n + group * W);
        for (int y = 0; y < L; ++y)
          for (int k = 0; k < N; ++k) sum[y][k] += Y[y] * g[k];
      }
      for (int y = 0; y < L; ++y) {
        Lanes<T> padded[W] = {};
        for (int k = 0; k < N; ++k) padded[k] = sum[y][k];
        lanes(s.S.data(), group * harmonics_ + h + y) = sums_over_lanes<T>(padded, W);
      }
    };
    int h = 1;    // l = 0 is the radial part's
    for (; h + at_once <= harmonics_; h += at_once) some.template operator()<at_once>(h);
    for (; h < harmonics_; ++h) some.template operator()<1>(h);
  }

  /// dE/dS from dE/dq.
  void density_gradient(NepWorkspace<T> &s) const
  {
    const int n = w_.n_angular;
    for (int group = 0; group < groups_; ++group) {
      const int count = std::min(W, n - group * W);
      const Lanes<T> *S = &lanes(s.S.data(), group * harmonics_);
      Lanes<T> *dS = &lanes(s.dS.data(), group * harmonics_);
      auto get = [&](int kind) {
        Lanes<T> value = {};
        for (int k = 0; k < count; ++k) value[k] = s.dq[w_.n_radial + kind * n + group * W + k];
        return value;
      };
      metalff::density_gradient<Lanes<T>>(t_, get, [&](int h) -> const Lanes<T> & { return S[h]; },
                                          [&](int h) -> Lanes<T> & { return dS[h]; });
    }
  }

  void angular_backward(NepWorkspace<T> &s, double *edge_grad) const
  {
    const int n = w_.n_angular, registers = s.angular.registers;
    density_gradient(s);
    Harmonics<P, nep_l_most> harmonics(norms_);
    for (int b = 0; b < registers; ++b) {
      Lanes<T> dY[nep_harmonics], Y[nep_harmonics], dr = {}, du[3], out[3];
      for (int h = 0; h < harmonics_; ++h) dY[h] = Lanes<T>{};
      for (int group = 0; group < groups_; ++group)
        with_count(std::min(W, n - group * W), [&]<int N>() {
          dr += edge_backward<P, N>(harmonics_, s.dS.data() + std::size_t(group) * harmonics_ * W, W, &lanes(s.Y.data(), b * harmonics_),
                                    &lanes(s.g.data(), b * n + group * W), &lanes(s.dg.data(), b * n + group * W), dY);
        });
      const auto &u = direction(s.angular, b);
      harmonics.values(w_.l_max, u, Y);
      harmonics.gradient(w_.l_max, dY, du);
      edge_gradient<P>(u, lanes(s.angular.length.data(), b), dr, du, out);
      store(s.angular, b, out[0], out[1], out[2], edge_grad);
    }
  }

  static const Lanes<T> (&direction(const Neighbours<T> &list, int b))[3]
  {
    return reinterpret_cast<const Lanes<T>(&)[3]>(lanes(list.unit.data(), 3 * b));
  }

  /// Energy of the descriptors, and its gradient into s.dq.
  double energy_of(int type, NepWorkspace<T> &s) const
  {
    return network<P>(t_, type, s.q.data(), room(s.z, t_.J), room(s.slope, t_.J), room(s.dq, t_.Q));
  }

  NepWeights w_;
  const NepRepulsion zbl_;
  NepArrays<T, Buffer<T>> arrays_;
  const NepTables<T> t_;
  const HarmonicNorms<T, nep_l_most> norms_;
  const int threads_;
  std::vector<NepWorkspace<T>> workspaces_;
  const int harmonics_, groups_;    // groups of registers of radial functions
};

}    // namespace metalff
