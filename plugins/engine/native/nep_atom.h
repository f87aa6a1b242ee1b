// Neuroevolution potentials (Fan et al., J. Chem. Phys. 157, 114801 (2022)) written down by hand, for the lanes of a policy (lanes.h): no
// splines, every function exact. Lanes are neighbours, or what rows are filled up to whole registers for. nep_model.h puts the parts together for
// registers, nep_fused.h for threads.
#pragma once

#include "gemm_kernel.h"
#include "harmonics.h"
#include "invariants.h"
#include "lanes.h"
#include "nep_zbl.h"

#include <cmath>
#include <numbers>

namespace metalff {

constexpr int nep_l_most = 8, nep_harmonics = (nep_l_most + 1) * (nep_l_most + 1), nep_basis_most = 100;

/// The parameters as the kernels want them; NepArrays makes them.
template <typename T> struct NepTables {
  int types = 0, n_radial = 0, n_angular = 0, basis_radial = 0, basis_angular = 0, l_max = 0, harmonics = 0, neurons = 0, dim = 0;
  int J = 0, Q = 0, K = 0, N = 0;                               // neurons, descriptors, basis_radial, n_radial, in whole registers
  int group = 0, row = 0, groups = 0;                           // radial functions of the angular part: of a group, and places for them
  const double *rc_radial = nullptr, *rc_angular = nullptr, *bias = nullptr;    // [types]
  const T *by_basis = nullptr, *by_n = nullptr;                 // of the radial part: [types, types, basis, N], [types, types, n, K]
  const T *c_angular = nullptr;                                 // [types, types, basis, groups, row]
  const T *forward = nullptr, *backward = nullptr;              // [types, dim, J], [types, neurons, Q]
  const T *b0 = nullptr, *w1 = nullptr;                         // [types, J]
  const ZblPair *zbl = nullptr;                                 // [types, types]; null: none
  Invariants<T> invariants;

  METALFF_INLINE int pair(int a, int b) const { return a * types + b; }
  METALFF_INLINE double radial_cutoff(int a, int b) const { return 0.5 * (rc_radial[a] + rc_radial[b]); }
  METALFF_INLINE double angular_cutoff(int a, int b) const { return 0.5 * (rc_angular[a] + rc_angular[b]); }
  METALFF_INLINE const T *angular_of(int pair) const { return c_angular + std::size_t(pair) * basis_angular * groups * row; }
};

/// Chebyshev functions of neighbours: x = 2 (r/rc - 1)² - 1 and the cutoff (1 + cos πr/rc)/2.
template <class P> struct Argument {
  using T = typename P::T;
  using V = typename P::V;
  V x, dx, cut, dcut;

  METALFF_INLINE void set(V r, T rc)
  {
    const T per = 1 / rc;
    const V s = r * per, t = s - T(0.5);
    x = 2 * (s - 1) * (s - 1) - 1;
    dx = (4 * per) * (s - 1);
    // sin πt and cos πt for |t| ≤ 1/2 by their series, to round-off
    constexpr int terms = sizeof(T) == 4 ? 6 : 11;
    const V a = T(std::numbers::pi) * t, y = -a * a;
    V sine = P::all(1), cosine = sine;
    METALFF_UNROLL
    for (int k = terms; k > 0; --k) {
      sine = 1 + sine * y * T(1.0 / ((2 * k) * (2 * k + 1)));
      cosine = 1 + cosine * y * T(1.0 / ((2 * k - 1) * (2 * k)));
    }
    cut = T(0.5) * (1 - a * sine);    // cos πs = -sin πt
    dcut = T(-0.5 * std::numbers::pi) * per * cosine;
  }
};

/// act(k, f, df) for k < K: f_k(r) = (T_k(x) + 1)/2 · cutoff (k = 0: the cutoff alone), and derivatives.
template <class P, class Act> METALFF_INLINE void basis(const Argument<P> &a, int K, Act &&act)
{
  using T = typename P::T;
  using V = typename P::V;
  const V twice = 2 * a.x;
  V before = P::all(1), now = a.x, u_before = P::all(0), u = before;
  act(0, a.cut, a.dcut);
  for (int k = 1; k < K; ++k) {
    const V half = T(0.5) * (now + 1);
    act(k, half * a.cut, half * a.dcut + T(0.5 * k) * u * a.dx * a.cut);
    const V after = twice * now - before, u_after = twice * u - u_before;
    before = now, now = after, u_before = u, u = u_after;
  }
}

/// Row k += cutoff · T_k: neighbours of one element.
template <class P> METALFF_INLINE void add_functions(const Argument<P> &a, int K, typename P::T *rows)
{
  using V = typename P::V;
  const V twice = 2 * a.x;
  V before = a.cut, now = a.cut * a.x;
  P::of(rows, 0) += before;
  for (int k = 1; k < K; ++k) {
    P::of(rows, k) += now;
    const V after = twice * now - before;
    before = now, now = after;
  }
}

/// q_n += Σ_k c_nk Σ_j f_k(r_j), from rows that add_functions filled.
/// \param functions [K] sums of rows over lanes; Σ_j f_k is half of the k-th and of the one of T_0
template <class P>
METALFF_INLINE void add_radial(const NepTables<typename P::T> &t, int pair, const typename P::T *rows, typename P::T *functions, typename P::T *q)
{
  using T = typename P::T;
  using V = typename P::V;
  constexpr int W = P::width;
  const int K = t.basis_radial;
  for (int v = 0; v < t.K / W; ++v) {
    V some[W];
    METALFF_UNROLL
    for (int k = 0; k < W; ++k) some[k] = v * W + k < K ? P::of(rows, v * W + k) : P::all(0);
    P::of(functions, v) = P::sums(some, W);
  }
  P::sync();
  const T *c = t.by_basis + std::size_t(pair) * K * t.N, constant = functions[0];
  for (int k = 0; k < K; ++k) {
    const T f = T(0.5) * (functions[k] + constant);    // k = 0: T_0 is one itself
    for (int v = 0; v < t.N / W; ++v) P::of(q, v) += f * P::of(c + std::size_t(k) * t.N, v);
  }
  P::sync();
}

/// Halves of Σ_n ∂E/∂q_n c_nk; gives what is left when all T_k are zero.
template <class P>
METALFF_INLINE typename P::T radial_series(const NepTables<typename P::T> &t, int pair, const typename P::T *dq, typename P::T *series)
{
  using T = typename P::T;
  using V = typename P::V;
  constexpr int W = P::width;
  const T *c = t.by_n + std::size_t(pair) * t.n_radial * t.K;
  V total = P::all(0);
  P::sync();
  for (int v = 0; v < t.K / W; ++v) {
    V a = P::all(0);
    for (int n = 0; n < t.n_radial; ++n) a += dq[n] * P::of(c + std::size_t(n) * t.K, v);
    P::of(series, v) = T(0.5) * a;
    total += T(0.5) * a;
  }
  P::sync();
  return P::sum(total) + series[0];
}

/// Derivative of a series by r: of Σ a_k T_k, with Σ k a_k U_{k-1}.
template <class P>
METALFF_INLINE typename P::V radial_slope(const Argument<P> &at, int K, const typename P::T *series, typename P::T constant)
{
  using T = typename P::T;
  using V = typename P::V;
  const V twice = 2 * at.x;
  V before = P::all(1), now = at.x, u_before = P::all(0), u = before, sum = P::all(constant), slope = P::all(0);
  for (int k = 1; k < K; ++k) {
    sum += series[k] * now, slope += T(k) * series[k] * u;
    const V after = twice * now - before, u_after = twice * u - u_before;
    before = now, now = after, u_before = u, u = u_after;
  }
  return at.dcut * sum + at.cut * at.dx * slope;
}

/// Energy of the descriptors, and its gradient. \param z, slope [J] arguments of tanh, and what a neuron gives on per argument
template <class P>
METALFF_INLINE double network(const NepTables<typename P::T> &t, int type, const typename P::T *q, typename P::T *z, typename P::T *slope,
                              typename P::T *dq)
{
  using T = typename P::T;
  using V = typename P::V;
  constexpr int W = P::width;
  const T *b0 = t.b0 + type * t.J, *w1 = t.w1 + type * t.J;
  const T *forward = t.forward + std::size_t(type) * t.dim * t.J, *backward = t.backward + std::size_t(type) * t.neurons * t.Q;
  for (int v = 0; v < t.J / W; ++v) {
    V sum = -P::of(b0, v);
    for (int d = 0; d < t.dim; ++d) sum += q[d] * P::of(forward + std::size_t(d) * t.J, v);
    P::of(z, v) = sum;
  }
  double energy = 0.0;
  P::each(t.neurons, [&](int j) {    // the lane's own
    const T x = std::tanh(z[j]);
    slope[j] = w1[j] * (1 - x * x);
    energy += double(w1[j] * x);
  });
  P::sync();
  for (int v = 0; v < t.Q / W; ++v) {
    V sum = P::all(0);
    for (int j = 0; j < t.neurons; ++j) sum += slope[j] * P::of(backward + std::size_t(j) * t.Q, v);
    P::of(dq, v) = sum;
  }
  P::sync();
  return P::template With<double>::total(energy) - t.bias[type];
}

/// put(kind, value) for every invariant of densities S(h) of one radial function.
template <class V, typename T, class Density, class Put> METALFF_INLINE void invariants(const NepTables<T> &t, const Density &S, Put &&put)
{
  for (int l = 1; l <= t.l_max; ++l) {
    V sum = {};
    for (int h = l * l; h < (l + 1) * (l + 1); ++h) sum += S(h) * S(h);
    put(l - 1, sum * T(0.25 / std::numbers::pi));
  }
  for (int k = 0; k < t.invariants.count; ++k) put(t.l_max + k, t.invariants.template value<V>(k, S));
}

/// dE/dS from dE/dq: get(kind).
template <class V, typename T, class Get, class Density, class Gradient>
METALFF_INLINE void density_gradient(const NepTables<T> &t, Get &&get, const Density &S, const Gradient &dS)
{
  for (int l = 1; l <= t.l_max; ++l) {
    const V d = T(0.5 / std::numbers::pi) * get(l - 1);
    for (int h = l * l; h < (l + 1) * (l + 1); ++h) dS(h) = d * S(h);
  }
  for (int k = 0; k < t.invariants.count; ++k) t.invariants.template add_gradient<V>(k, get(t.l_max + k), S, dS);
}

/// Of a row of numbers in fast memory or of the parameters the first n; on a device as many at once as fit, for which it is padded and aligned.
template <class P, int n> METALFF_INLINE void fetch(const typename P::T *row, typename P::T (&x)[n])
{
  using Some = Pack<typename P::T, P::pack>;
  METALFF_UNROLLED
  for (int k = 0; k < n; k += P::pack) {
    const Some some = *reinterpret_cast<const Some *>(row + k);
    METALFF_UNROLLED
    for (int j = 0; j < P::pack; ++j)
      if (k + j < n) x[k + j] = some.of[j];
  }
}

/// dE/dY of neighbours, added, and dE/dr, from dE/dS of N radial functions. \param row of dS: places of one harmonic
template <class P, int N>
METALFF_INLINE typename P::V edge_backward(int harmonics, const typename P::T *dS, int row, const typename P::V *Y, const typename P::V *g,
                                           const typename P::V *dg, typename P::V *dY)
{
  using T = typename P::T;
  using V = typename P::V;
  V G[N], mine[N];
  METALFF_UNROLL
  for (int k = 0; k < N; ++k) mine[k] = g[k], G[k] = P::all(0);
  METALFF_UNROLL
  for (int h = 1; h < harmonics; ++h) {
    V sum = dY[h];
    T d[N];
    fetch<P>(dS + h * row, d);
    METALFF_UNROLL
    for (int k = 0; k < N; ++k) {
      sum += d[k] * mine[k];
      G[k] += d[k] * Y[h];
    }
    dY[h] = sum;
  }
  V dr = P::all(0);
  METALFF_UNROLL
  for (int k = 0; k < N; ++k) dr += G[k] * dg[k];
  return dr;
}

}    // namespace metalff
