// Neuroevolution potentials (Fan et al., J. Chem. Phys. 157, 114801 (2022)) written down by hand: no splines, every function exact.
#pragma once

#include "../error.h"
#include "../model.h"
#include "harmonics.h"
#include "invariants.h"
#include "nep_weights.h"
#include "nep_zbl.h"
#include "threads.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace metalff {

constexpr int nep_l_most = 8, nep_harmonics = (nep_l_most + 1) * (nep_l_most + 1), nep_basis_most = 100;
constexpr int share_atoms = 16;    // that a thread takes at a time

/// Chebyshev functions of one pair of elements: x = 2 (r/rc - 1)² - 1 and the cutoff (1 + cos πr/rc)/2, of `width` edges.
template <typename T> struct Argument {
  Lanes<T> x, dx, cut, dcut;

  void set(Lanes<T> r, T rc)
  {
    const Lanes<T> s = r / rc, t = s - T(0.5);
    x = 2 * (s - 1) * (s - 1) - 1;
    dx = 4 * (s - 1) / rc;
    // sin πt and cos πt for |t| ≤ 1/2 by their series, to round-off
    constexpr int terms = sizeof(T) == 4 ? 6 : 11;
    const Lanes<T> a = T(std::numbers::pi) * t, y = -a * a;
    Lanes<T> sine = Lanes<T>{} + 1, cosine = sine;
    for (int k = terms; k > 0; --k) {
      sine = 1 + sine * y * T(1.0 / ((2 * k) * (2 * k + 1)));
      cosine = 1 + cosine * y * T(1.0 / ((2 * k - 1) * (2 * k)));
    }
    cut = T(0.5) * (1 - a * sine);    // cos πs = -sin πt
    dcut = T(-0.5 * std::numbers::pi) * cosine / rc;
  }
};

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
  Neighbours<T> radial, angular;
  std::vector<Argument<T>> arguments;       // of the radial neighbours
  Harmonics<T, nep_l_most> harmonics;
  Buffer<T> Y, g, dg;                       // [registers][harmonics | n][width] of the angular neighbours
  Buffer<T> S, dS;                          // [groups of n][harmonics][width]: densities, lanes over n
  Buffer<T> q, dq, z, sums, series;
  Buffer<T> functions;                      // [runs][basis]: Chebyshev functions summed over the radial neighbours of one element
};

template <typename T> class NativeNep : public Model {
  static constexpr int W = width<T>;

 public:
  NativeNep(NepWeights weights, const Options &options) :
      w_(std::move(weights)), zbl_(w_), threads_(std::max(1, options.threads)), workspaces_(threads_), types_(w_.types()),
      harmonics_((w_.l_max + 1) * (w_.l_max + 1)), groups_((w_.n_angular + W - 1) / W), J_(padded<T>(w_.neurons)),
      Q_(padded<T>(w_.dim)), K_(padded<T>(w_.basis_radial)), N_(padded<T>(w_.n_radial))
  {
    for (int k = 0; k < nep_invariants; ++k)
      if (w_.has[k]) invariants_.push_back(Invariant<T>::of(NepInvariant(k)));
    const std::size_t pairs = std::size_t(types_) * types_;
    c_angular_.resize(pairs * w_.n_angular * w_.basis_angular);
    by_basis_.assign(pairs * w_.basis_radial * N_, T(0)), by_n_.assign(pairs * w_.n_radial * K_, T(0));
    forward_.assign(std::size_t(types_) * w_.dim * J_, T(0)), backward_.assign(std::size_t(types_) * w_.neurons * Q_, T(0));
    b0_.assign(std::size_t(types_) * J_, T(0)), w1_ = b0_;
    arrange();
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

 protected:
  /// The parameters, from w_, as the kernels want them.
  void arrange()
  {
    const std::size_t pairs = std::size_t(types_) * types_;
    for (std::size_t k = 0; k < c_angular_.size(); ++k) c_angular_[k] = T(w_.c_angular[k]);
    for (std::size_t p = 0; p < pairs; ++p)
      for (int n = 0; n < w_.n_radial; ++n)
        for (int k = 0; k < w_.basis_radial; ++k)
          by_basis_[(p * w_.basis_radial + k) * N_ + n] = by_n_[(p * w_.n_radial + n) * K_ + k] =
              T(w_.c_radial[(p * w_.n_radial + n) * w_.basis_radial + k]);
    for (int t = 0; t < types_; ++t)
      for (int j = 0; j < w_.neurons; ++j) {
        const std::size_t neuron = std::size_t(t) * w_.neurons + j;
        for (int d = 0; d < w_.dim; ++d)
          forward_[(std::size_t(t) * w_.dim + d) * J_ + j] = backward_[neuron * Q_ + d] = T(w_.w0[neuron * w_.dim + d]);
        b0_[t * J_ + j] = T(w_.b0[neuron]), w1_[t * J_ + j] = T(w_.w1[neuron]);
      }
  }

  double atom(const Graph &graph, int i, NepWorkspace<T> &s, double *edge_grad) const
  {
    const int type = graph.types[i];
    select(graph, i, type, s);
    T *q = room(s.q, Q_);
    std::fill_n(q, Q_, T(0));
    radial_forward(type, s, q);
    angular_forward(type, s, q + w_.n_radial);
    double energy = network(type, s);
    if (w_.zbl.present) energy += zbl_.add(graph, i, edge_grad);
    radial_backward(type, s, edge_grad);
    angular_backward(s, edge_grad);
    return energy;
  }

  double rc_radial(int a, int b) const { return 0.5 * (w_.rc_radial[a] + w_.rc_radial[b]); }
  double rc_angular(int a, int b) const { return 0.5 * (w_.rc_angular[a] + w_.rc_angular[b]); }

  /// Neighbours within the two cutoffs.
  void select(const Graph &graph, int i, int type, NepWorkspace<T> &s) const
  {
    using Near = typename NepWorkspace<T>::Near;
    const int64_t first = graph.first[i], last = graph.first[i + 1];
    if (s.near.size() < std::size_t(last - first)) s.near.resize(last - first), s.sorted.resize(last - first);
    int n = 0;
    s.start.assign(types_ + 1, 0);
    for (int64_t e = first; e < last; ++e) {
      const double *v = &graph.edge_vec[3 * e], r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
      const int other = graph.types[graph.neighbor[e]];
      const double rc = rc_radial(type, other);
      s.near[n] = {e, v[0], v[1], v[2], r2};
      const bool within = !(r2 >= rc * rc);    // NaN goes on
      n += within, s.start[other + 1] += within;
    }
    const Near *near = s.near.data();
    for (int t = 0; t < types_; ++t) s.start[t + 1] += s.start[t];
    if (types_ > 1) {
      std::vector<int> &at = s.start;    // shifted by one element while it is used, and back
      for (int k = 0; k < n; ++k) s.sorted[at[graph.types[graph.neighbor[near[k].edge]]]++] = near[k];
      for (int t = types_; t > 0; --t) at[t] = at[t - 1];
      at[0] = 0;
      near = s.sorted.data();
    }
    fill(s.radial, near, s.start, [&](int t) { return rc_radial(type, t); });
    fill(s.angular, near, s.start, [&](int t) { return rc_angular(type, t); });
  }

  template <typename Near, typename Cutoff>
  void fill(Neighbours<T> &list, const Near *near, const std::vector<int> &start, Cutoff &&cutoff) const
  {
    const std::size_t most = std::size_t(start.back()) + std::size_t(types_) * W;
    room(list.r, most), room(list.length, most), room(list.unit, 3 * most);
    if (list.edge.size() < most) list.edge.resize(most);
    list.runs.clear();
    int n = 0;
    for (int t = 0; t < types_; ++t) {
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

  /// q_n = Σ_j Σ_k c_nk f_k(r_j): the sum over neighbours first, of each Chebyshev function.
  void radial_forward(int type, NepWorkspace<T> &s, T *q) const
  {
    const int K = w_.basis_radial;
    if (int(s.arguments.size()) < s.radial.registers) s.arguments.resize(s.radial.registers + 8);
    Lanes<T> *sums = reinterpret_cast<Lanes<T> *>(room(s.sums, std::size_t(K_ + W) * W));
    T *out = room(s.z, std::max(J_, N_));
    std::fill_n(out, N_, T(0));
    T *functions = room(s.functions, s.radial.runs.size() * K);
    for (const auto &run : s.radial.runs) {
      for (int k = 0; k < K_; ++k) sums[k] = Lanes<T>{};
      const T rc = T(rc_radial(type, run.type));
      for (int b = run.begin; b < run.end; ++b) {
        Argument<T> &a = s.arguments[b];
        a.set(lanes(s.radial.length.data(), b), rc);
        const Lanes<T> twice = 2 * a.x;
        Lanes<T> before = a.cut, now = a.cut * a.x;
        sums[0] += before;
        for (int k = 1; k < K; ++k) {
          sums[k] += now;
          const Lanes<T> after = twice * now - before;
          before = now, now = after;
        }
      }
      const T *c = &by_basis_[std::size_t(type * types_ + run.type) * K * N_];
      T constant = 0;
      for (int g = 0; g < K; g += W) {
        Lanes<T> some[W];
        for (int k = 0; k < W; ++k) some[k] = sums[g + k];
        const Lanes<T> totals = sums_over_lanes<T>(some, W);
        if (g == 0) constant = totals[0];
        for (int k = g; k < std::min(K, g + W); ++k) {
          const T f = T(0.5) * (totals[k - g] + constant);    // k = 0: T_0 is one itself
          *functions++ = f;
          for (int v = 0; v < N_ / W; ++v) lanes(out, v) += f * lanes(c + std::size_t(k) * N_, v);
        }
      }
    }
    std::copy_n(out, w_.n_radial, q);
  }

  void radial_backward(int type, NepWorkspace<T> &s, double *edge_grad) const
  {
    const int K = w_.basis_radial;
    T *a = room(s.series, K_);
    for (const auto &run : s.radial.runs) {
      std::fill_n(a, K_, T(0));
      const T *c = &by_n_[std::size_t(type * types_ + run.type) * w_.n_radial * K_];
      for (int n = 0; n < w_.n_radial; ++n)
        for (int v = 0; v < K_ / W; ++v) lanes(a, v) += s.dq[n] * lanes(c + std::size_t(n) * K_, v);
      T constant = a[0];
      for (int k = 1; k < K; ++k) a[k] *= T(0.5), constant += a[k];
      for (int b = run.begin; b < run.end; ++b) {
        // Σ a_k T_k and its derivative Σ k a_k U_{k-1}
        const Argument<T> &at = s.arguments[b];
        const Lanes<T> twice = 2 * at.x;
        Lanes<T> before = Lanes<T>{} + 1, now = at.x, u_before = {}, u = before, sum = Lanes<T>{} + constant, slope = {};
        for (int k = 1; k < K; ++k) {
          sum += a[k] * now, slope += T(k) * a[k] * u;
          const Lanes<T> after = twice * now - before, u_after = twice * u - u_before;
          before = now, now = after, u_before = u, u = u_after;
        }
        const Lanes<T> dr = at.dcut * sum + at.cut * at.dx * slope;
        const T *unit = s.radial.unit.data();
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

  /// f_k(r) = (T_k(x) + 1)/2 · cutoff (k = 0: the cutoff alone) of a register of edges, and derivatives.
  static void basis(Lanes<T> r, T rc, int K, Lanes<T> *f, Lanes<T> *df)
  {
    Argument<T> a;
    a.set(r, rc);
    const Lanes<T> twice = 2 * a.x;
    Lanes<T> before = Lanes<T>{} + 1, now = a.x, u_before = {}, u = before;
    f[0] = a.cut, df[0] = a.dcut;
    for (int k = 1; k < K; ++k) {
      const Lanes<T> half = T(0.5) * (now + 1);
      f[k] = half * a.cut;
      df[k] = half * a.dcut + T(0.5 * k) * u * a.dx * a.cut;
      const Lanes<T> after = twice * now - before, u_after = twice * u - u_before;
      before = now, now = after, u_before = u, u = u_after;
    }
  }

  /// Radial functions and harmonics of the angular neighbours, densities S_n,lm = Σ_j g_n Y_lm, invariants of these.
  void angular_forward(int type, NepWorkspace<T> &s, T *q) const
  {
    const int registers = s.angular.registers, n = w_.n_angular, K = w_.basis_angular;
    room(s.Y, std::size_t(registers) * harmonics_ * W), room(s.g, std::size_t(registers) * n * W);
    room(s.dg, std::size_t(registers) * n * W);
    for (const auto &run : s.angular.runs) {
      const T *c = &c_angular_[std::size_t(type * types_ + run.type) * n * K];
      const T rc = T(rc_angular(type, run.type));
      for (int b = run.begin; b < run.end; ++b) {
        const Lanes<T> unit[3] = {lanes(s.angular.unit.data(), 3 * b), lanes(s.angular.unit.data(), 3 * b + 1),
                                  lanes(s.angular.unit.data(), 3 * b + 2)};
        s.harmonics.values(w_.l_max, unit, &lanes(s.Y.data(), b * harmonics_));
        Lanes<T> f[nep_basis_most], df[nep_basis_most];
        basis(lanes(s.angular.length.data(), b), rc, K, f, df);
        for (int m = 0; m < n; ++m) {
          Lanes<T> g = {}, dg = {};
          for (int k = 0; k < K; ++k) g += c[m * K + k] * f[k], dg += c[m * K + k] * df[k];
          lanes(s.g.data(), b * n + m) = g, lanes(s.dg.data(), b * n + m) = dg;
        }
      }
    }
    room(s.S, std::size_t(groups_) * harmonics_ * W), room(s.dS, std::size_t(groups_) * harmonics_ * W);
    for (int group = 0; group < groups_; ++group) {
      const int count = std::min(W, n - group * W);
      with_count(count, [&]<int N>() { densities<N>(s, group); });
      const Lanes<T> *S = &lanes(s.S.data(), group * harmonics_);
      auto put = [&](int kind, Lanes<T> value) {
        for (int k = 0; k < count; ++k) q[kind * n + group * W + k] = value[k];
      };
      for (int l = 1; l <= w_.l_max; ++l) put(l - 1, power(S, l));
      for (std::size_t k = 0; k < invariants_.size(); ++k) put(w_.l_max + int(k), invariants_[k].value(S));
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

  static Lanes<T> power(const Lanes<T> *S, int l)
  {
    Lanes<T> sum = {};
    for (int h = l * l; h < (l + 1) * (l + 1); ++h) sum += S[h] * S[h];
    return sum * T(0.25 / std::numbers::pi);
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
      for (int l = 1; l <= w_.l_max; ++l) {
        const Lanes<T> d = T(0.5 / std::numbers::pi) * get(l - 1);
        for (int h = l * l; h < (l + 1) * (l + 1); ++h) dS[h] = d * S[h];
      }
      for (std::size_t k = 0; k < invariants_.size(); ++k) invariants_[k].add_gradient(get(w_.l_max + int(k)), S, dS);
    }
  }

  void angular_backward(NepWorkspace<T> &s, double *edge_grad) const
  {
    const int n = w_.n_angular, registers = s.angular.registers;
    density_gradient(s);
    for (int b = 0; b < registers; ++b) {
      Lanes<T> dY[nep_harmonics], Y[nep_harmonics], dr = {}, du[3];
      for (int h = 0; h < harmonics_; ++h) dY[h] = Lanes<T>{};
      for (int group = 0; group < groups_; ++group)
        with_count(std::min(W, n - group * W), [&]<int N>() { dr += edge_backward<N>(s, b, group, dY); });
      const Lanes<T> u[3] = {lanes(s.angular.unit.data(), 3 * b), lanes(s.angular.unit.data(), 3 * b + 1),
                             lanes(s.angular.unit.data(), 3 * b + 2)};
      s.harmonics.values(w_.l_max, u, Y);
      s.harmonics.gradient(w_.l_max, dY, du);
      const Lanes<T> along = u[0] * du[0] + u[1] * du[1] + u[2] * du[2], per = 1 / lanes(s.angular.length.data(), b);
      const Lanes<T> radial = dr - along * per;
      store(s.angular, b, radial * u[0] + du[0] * per, radial * u[1] + du[1] * per, radial * u[2] + du[2] * per, edge_grad);
    }
  }

  /// dE/dY of a register of edges, added, and dE/dr, from dE/dS of N radial functions.
  template <int N> Lanes<T> edge_backward(const NepWorkspace<T> &s, int b, int group, Lanes<T> *dY) const
  {
    const int n = w_.n_angular;
    const Lanes<T> *Y = &lanes(s.Y.data(), b * harmonics_), *g = &lanes(s.g.data(), b * n + group * W);
    const Lanes<T> *dg = &lanes(s.dg.data(), b * n + group * W);
    const T *dS = s.dS.data() + std::size_t(group) * harmonics_ * W;
    Lanes<T> G[N] = {}, mine[N];
    for (int k = 0; k < N; ++k) mine[k] = g[k];
    for (int h = 1; h < harmonics_; ++h) {
      Lanes<T> sum = dY[h];
      for (int k = 0; k < N; ++k) {
        const T d = dS[h * W + k];
        sum += d * mine[k];
        G[k] += d * Y[h];
      }
      dY[h] = sum;
    }
    Lanes<T> dr = {};
    for (int k = 0; k < N; ++k) dr += G[k] * dg[k];
    return dr;
  }

  /// Energy of the descriptors, and its gradient into s.dq.
  double network(int type, NepWorkspace<T> &s) const
  {
    T *z = room(s.z, std::max(J_, N_)), *dq = room(s.dq, Q_);
    const T *b0 = &b0_[type * J_], *w1 = &w1_[type * J_];
    for (int v = 0; v < J_ / W; ++v) lanes(z, v) = -lanes(b0, v);
    for (int d = 0; d < w_.dim; ++d) {
      const T *row = &forward_[(std::size_t(type) * w_.dim + d) * J_];
      for (int v = 0; v < J_ / W; ++v) lanes(z, v) += s.q[d] * lanes(row, v);
    }
    double energy = -w_.bias[type];
    std::fill_n(dq, Q_, T(0));
    for (int j = 0; j < w_.neurons; ++j) {
      const T x = std::tanh(z[j]), slope = w1[j] * (1 - x * x);
      energy += double(w1[j] * x);
      const T *row = &backward_[(std::size_t(type) * w_.neurons + j) * Q_];
      for (int v = 0; v < Q_ / W; ++v) lanes(dq, v) += slope * lanes(row, v);
    }
    return energy;
  }

  NepWeights w_;
  const NepRepulsion zbl_;
  const int threads_;
  std::vector<NepWorkspace<T>> workspaces_;
  const int types_, harmonics_, groups_, J_, Q_, K_, N_;    // the last four: neurons, descriptors, basis, n, in whole registers
  std::vector<Invariant<T>> invariants_;
  std::vector<T> c_angular_;                                // [types, types, n, basis]
  Buffer<T> by_basis_, by_n_;                               // of the radial part: [types, types, basis, N], [types, types, n, K]
  Buffer<T> forward_, backward_;                            // [types, dim, J], [types, neurons, Q]
  Buffer<T> b0_, w1_;                                       // [types, J]
};

}    // namespace metalff
