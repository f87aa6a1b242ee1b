// The product basis: for every channel the same polynomial, of degree ≤ 3, in the (l, m) features of an atom.
#pragma once

#include "lanes.h"

namespace metalff {

/// Σ_i x_i (c_i + Σ_{j≥i} x_j (c_ij + Σ_{k≥j} c_ijk x_k)) per component m; one multiplication and addition per term forward.
/// weights: [types, registers, terms, width].
template <typename T> struct PolynomialTable {
  struct Single {
    int m, i, weight, begin, end;    // weight: term of degree 1, -1: none; pairs
  };
  struct Pair {
    int j, weight, begin, end;       // weight: term of degree 2, -1: none; terms of degree 3
  };
  int terms = 0, registers = 0, n_singles = 0;
  const Single *singles = nullptr;
  const Pair *pairs = nullptr;
  const int *last = nullptr;         // [terms] feature of the third factor
  const T *weights = nullptr;

  METALFF_INLINE std::size_t start(int type, int v, int width) const { return (std::size_t(type) * registers + v) * terms * width; }
};

template <class P, int count>
METALFF_INLINE void start_sums(typename P::V (&s)[count], const typename P::T *weights, int weight)
{
  METALFF_UNROLL
  for (int a = 0; a < count; ++a) s[a] = weight < 0 ? P::all(0) : P::of(weights, weight);
}

/// y[m] of `count` atoms at a time from x[feature]; y starts at zero. weights: of the register of channels.
template <class P, int count, typename T = typename P::T, typename V = typename P::V>
METALFF_INLINE void polynomial_forward(const PolynomialTable<T> &table, const T *weights, const V (*x)[count], V (*y)[count])
{
  for (int at = 0; at < table.n_singles; ++at) {
    const auto &single = table.singles[at];
    V s[count];
    start_sums<P>(s, weights, single.weight);
    for (int p = single.begin; p < single.end; ++p) {
      const auto &pair = table.pairs[p];
      V t[count];
      start_sums<P>(t, weights, pair.weight);
      for (int q = pair.begin; q < pair.end; ++q) {
        const V c = P::of(weights, q), (&z)[count] = x[table.last[q]];
        METALFF_UNROLL
        for (int a = 0; a < count; ++a) t[a] += c * z[a];
      }
      METALFF_UNROLL
      for (int a = 0; a < count; ++a) s[a] += t[a] * x[pair.j][a];
    }
    METALFF_UNROLL
    for (int a = 0; a < count; ++a) y[single.m][a] += s[a] * x[single.i][a];
  }
}

/// dx[feature] += Σ_m g[m] dy[m]/dx.
template <class P, int count, typename T = typename P::T, typename V = typename P::V>
METALFF_INLINE void polynomial_backward(const PolynomialTable<T> &table, const T *weights, const V (*x)[count], const V (*g)[count],
                                        V (*dx)[count])
{
  for (int at = 0; at < table.n_singles; ++at) {
    const auto &single = table.singles[at];
    V s[count], gi[count];
    start_sums<P>(s, weights, single.weight);
    METALFF_UNROLL
    for (int a = 0; a < count; ++a) gi[a] = g[single.m][a] * x[single.i][a];
    for (int p = single.begin; p < single.end; ++p) {
      const auto &pair = table.pairs[p];
      V t[count], gij[count];
      start_sums<P>(t, weights, pair.weight);
      METALFF_UNROLL
      for (int a = 0; a < count; ++a) gij[a] = gi[a] * x[pair.j][a];
      for (int q = pair.begin; q < pair.end; ++q) {
        const int k = table.last[q];
        const V c = P::of(weights, q);
        METALFF_UNROLL
        for (int a = 0; a < count; ++a) {
          t[a] += c * x[k][a];
          dx[k][a] += c * gij[a];
        }
      }
      METALFF_UNROLL
      for (int a = 0; a < count; ++a) {
        s[a] += t[a] * x[pair.j][a];
        dx[pair.j][a] += gi[a] * t[a];
      }
    }
    METALFF_UNROLL
    for (int a = 0; a < count; ++a) dx[single.i][a] += g[single.m][a] * s[a];
  }
}

}    // namespace metalff
