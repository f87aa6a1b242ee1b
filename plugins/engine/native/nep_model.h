// The driver of nep_atom.h on a host: neighbours in registers, one atom at a time.
#pragma once

#include "../error.h"
#include "../model.h"
#include "neighbours.h"
#include "nep_arrays.h"
#include "nep_atom.h"
#include "nep_weights.h"
#include "simd.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace metalff {

constexpr int share_atoms = 16;    // that a thread takes at a time

template <typename T> struct NepWorkspace {
  Vicinity vicinity;
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
      threads_(std::max(1, options.threads)), workspaces_(threads_), forces_(threads_), harmonics_(t_.harmonics), groups_((w_.n_angular + W - 1) / W)
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
    walk_in_parts(around, threads_, forces_, [&](Surroundings &mine, int thread, int begin, int end) {
      for (int i = begin; i < end; ++i) {
        const int element = around.element[around.type[i]];
        if (element < 0) continue;
        const double energy = walk_atom(mine, i, element, workspaces_[thread]);
        mine.energy += energy;
        if (around.atomic_energy) around.atomic_energy[i] = energy;
      }
    });
    return true;
  }

 protected:
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

  /// An atom as its row of neighbours has it.
  METALFF_APART double walk_atom(Surroundings &around, int i, int type, NepWorkspace<T> &s) const
  {
    Vicinity &near = s.vicinity;
    near.look(around, i, t_.types, [&](int other) { return t_.radial_cutoff(type, other); });
    arrange_near(type, s);
    double *grad = near.zeros();
    double energy = selected(type, s, grad);
    if (w_.zbl.present)
      for (int k = 0; k < near.n; ++k) {
        const Near &one = near.near[k];
        energy += zbl_.add(type, near.element[k], one.x, one.y, one.z, grad + 3 * k);
      }
    near.scatter(around, i);
    return energy;
  }

  /// Neighbours within the two cutoffs.
  void select(const Graph &graph, int i, int type, NepWorkspace<T> &s) const
  {
    s.vicinity.look(graph, i, t_.types, [&](int other) { return t_.radial_cutoff(type, other); });
    arrange_near(type, s);
  }

  void arrange_near(int type, NepWorkspace<T> &s) const
  {
    s.radial.fill(s.vicinity, [&](int t) { return t_.radial_cutoff(type, t); });
    s.angular.fill(s.vicinity, [&](int t) { return t_.angular_cutoff(type, t); });
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
        s.radial.store(b, dr * lanes(unit, 3 * b), dr * lanes(unit, 3 * b + 1), dr * lanes(unit, 3 * b + 2), edge_grad);
      }
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
        harmonics.values(w_.l_max, s.angular.direction(b), &lanes(s.Y.data(), b * harmonics_));
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
      const auto &u = s.angular.direction(b);
      harmonics.values(w_.l_max, u, Y);
      harmonics.gradient(w_.l_max, dY, du);
      edge_gradient<P>(u, lanes(s.angular.length.data(), b), dr, du, out);
      s.angular.store(b, out[0], out[1], out[2], edge_grad);
    }
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
  std::vector<Buffer<double>> forces_;    // of threads in a walk
  const int harmonics_, groups_;    // groups of registers of radial functions
};

}    // namespace metalff
