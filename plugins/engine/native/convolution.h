// Messages: sums over neighbours of radial functions × features × spherical harmonics, and their gradients.
#pragma once

#include "lanes.h"

namespace metalff {

/// Entry q of edge e of a table is at [e / width][q][e % width]: a register holds an entry of several edges.
template <class P, typename X> METALFF_INLINE X *of_edge(X *table, int entries, int e)
{
  return table + std::size_t(e / P::width) * entries * P::width + e % P::width;
}

/// A radial function is a weighed sum over rows: value, slope and curvature at two knots, or coefficients of six B-splines.
constexpr int hermite_rows = 6;
template <typename T> struct Hermite {
  T value[hermite_rows], slope[hermite_rows];
};

/// What the kernels know of one edge.
template <typename T> struct Edge {
  const T *row;          // hermite_rows rows of radial functions
  const T *source;       // features of the neighbour; unused in the first layer
  T *dsource;            // dE/d of them
};

/// One path on an atom. Angular factors: M[m1][m3] = Σ_m2 cg[m1][m2][m3] Y_m2.
struct PathPlan {
  int l1, l3;
  int angular;     // its first entry in the tables of angular factors
  int radial;      // its first column of the radial functions
  int target;      // its first column in the matrix of messages of l3
};

/// Weights of quintic Hermite splines at t in [0, 1], one edge per lane, into out[lane]; per: one over the spacing.
template <class P> METALFF_INLINE void hermite_weights(typename P::V t, typename P::T per, Hermite<typename P::T> *out)
{
  using V = typename P::V;
  const V t2 = t * t, t3 = t2 * t, t4 = t2 * t2, t5 = t4 * t, half = P::all(0.5);
  const V value[hermite_rows] = {1 - 10 * t3 + 15 * t4 - 6 * t5, t - 6 * t3 + 8 * t4 - 3 * t5, half * (t2 - 3 * t3 + 3 * t4 - t5),
                                 10 * t3 - 15 * t4 + 6 * t5, -4 * t3 + 7 * t4 - 3 * t5, half * (t3 - 2 * t4 + t5)};
  const V steep = per * (30 * t2 - 60 * t3 + 30 * t4);
  const V slope[hermite_rows] = {-steep, per * (1 - 18 * t2 + 32 * t3 - 15 * t4), per * half * (2 * t - 9 * t2 + 12 * t3 - 5 * t4),
                                 steep, per * (-12 * t2 + 28 * t3 - 15 * t4), per * half * (3 * t2 - 8 * t3 + 5 * t4)};
  P::lanes([&](int lane) {
    METALFF_UNROLL
    for (int k = 0; k < hermite_rows; ++k) out[lane].value[k] = P::get(value[k], lane), out[lane].slope[k] = P::get(slope[k], lane);
  });
}

/// Weights of the six quintic B-splines that do not vanish at t in [0, 1] between two knots, the first centred two knots below.
template <class P> METALFF_INLINE void bspline_weights(typename P::V t, typename P::T per, Hermite<typename P::T> *out)
{
  using V = typename P::V;
  using T = typename P::T;
  const V t2 = t * t, t3 = t2 * t, t4 = t2 * t2, t5 = t4 * t, u = 1 - t, u2 = u * u, u4 = u2 * u2;
  constexpr T f = T(1.0 / 120), g = T(1.0 / 24);
  const V value[hermite_rows] = {f * u4 * u, f * (26 - 50 * t + 20 * t2 + 20 * t3 - 20 * t4 + 5 * t5),
                                 f * (66 - 60 * t2 + 30 * t4 - 10 * t5), f * (26 + 50 * t + 20 * t2 - 20 * t3 - 20 * t4 + 10 * t5),
                                 f * (1 + 5 * t + 10 * t2 + 10 * t3 + 5 * t4 - 5 * t5), f * t5};
  const V slope[hermite_rows] = {-g * u4, g * (-10 + 8 * t + 12 * t2 - 16 * t3 + 5 * t4), g * (-24 * t + 24 * t3 - 10 * t4),
                                 g * (10 + 8 * t - 12 * t2 - 16 * t3 + 10 * t4), g * (1 + 4 * t + 6 * t2 + 4 * t3 - 5 * t4), g * t4};
  P::lanes([&](int lane) {
    for (int k = 0; k < hermite_rows; ++k) out[lane].value[k] = P::get(value[k], lane), out[lane].slope[k] = per * P::get(slope[k], lane);
  });
}

/// Radial functions of an edge and their slopes: `count` columns of it, from rows `columns` wide.
template <class P, typename T = typename P::T>
METALFF_INLINE void radial_functions(const T *rows, const Hermite<T> &weights, std::size_t columns, int count, T *value, T *slope)
{
  using V = typename P::V;
  V w[hermite_rows], dw[hermite_rows];
  METALFF_UNROLL
  for (int k = 0; k < hermite_rows; ++k) w[k] = P::all(weights.value[k]), dw[k] = P::all(weights.slope[k]);
  for (int v = 0; v < count / P::width; ++v) {
    V R = w[0] * P::of(rows, v), dR = dw[0] * P::of(rows, v);
    METALFF_UNROLLED
    for (int k = 1; k < hermite_rows; ++k) {
      const V x = P::of(rows + k * columns, v);
      R += w[k] * x;
      dR += dw[k] * x;
    }
    P::of(value, v) = R, P::of(slope, v) = dR;
  }
}

template <class P, typename T = typename P::T>
METALFF_INLINE typename P::V hermite(const T *row, std::size_t columns, int v, const T (&w)[hermite_rows])
{
  typename P::V sum = w[0] * P::of(row, v);
  METALFF_UNROLL
  for (int k = 1; k < hermite_rows; ++k) sum += w[k] * P::of(row + k * columns, v);
  return sum;
}

/// Messages of one path to one atom: rows [2·l3 + 1] at `stride` of D channels; added to what is there, or written over it.
/// angular: a table with `entries` per edge.
template <class P, int l1, int l3, bool first, typename T = typename P::T>
METALFF_APART void gather_path(const PathPlan &path, int begin, int end, const Edge<T> *edges, const Hermite<T> *weights,
                                  const T *angular, int entries, std::size_t columns, int D, T *out, std::size_t stride, bool add)
{
  constexpr int n1 = 2 * l1 + 1, n3 = 2 * l3 + 1, W = P::width;
  using V = typename P::V;
  auto registers = [&]<int count>(int v) {
    V sum[n3][count];
    METALFF_UNROLL
    for (int m = 0; m < n3; ++m)
      for (int x = 0; x < count; ++x) sum[m][x] = add ? P::of(out + m * stride, v + x) : P::all(0);
    for (int e = begin; e < end; ++e) {
      const T *M = of_edge<P>(angular, entries, e) + path.angular * W, *row = edges[e].row + path.radial;
      V R[count];
      METALFF_UNROLL
      for (int x = 0; x < count; ++x) R[x] = hermite<P>(row, columns, v + x, weights[e].value);
      METALFF_UNROLLED
      for (int m1 = 0; m1 < n1; ++m1) {
        V t[count];
        METALFF_UNROLL
        for (int x = 0; x < count; ++x) {
          if constexpr (first)
            t[x] = R[x];
          else
            t[x] = R[x] * P::of(edges[e].source + std::size_t(l1 * l1 + m1) * D, v + x);
        }
        METALFF_UNROLLED
        for (int m3 = 0; m3 < n3; ++m3) {
          const T factor = M[(m1 * n3 + m3) * W];
          METALFF_UNROLL
          for (int x = 0; x < count; ++x) sum[m3][x] += factor * t[x];
        }
      }
    }
    METALFF_UNROLL
    for (int m = 0; m < n3; ++m)
      for (int x = 0; x < count; ++x) P::of(out + m * stride, v + x) = sum[m][x];
  };
  int v = 0;
  for (; v + 2 <= D / W; v += 2) registers.template operator()<2>(v);
  if (v < D / W) registers.template operator()<1>(v);
}

/// Sums over lanes of x[k] to out[k * width].
template <class P, int n, int begin = 0, typename T = typename P::T, typename V = typename P::V>
METALFF_INLINE void sums_into(const V (&x)[n], T *out)
{
  constexpr int W = P::width, count = n - begin < W ? n - begin : W;
  V some[W];
  METALFF_UNROLL
  for (int k = 0; k < W; ++k) some[k] = k < count ? x[begin + (k < count ? k : 0)] : P::all(0);
  const V total = P::sums(some, count);
  P::lanes([&](int lane) {
    if (lane < count) out[(begin + lane) * W] = P::get(total, lane);
  });
  if constexpr (begin + W < n) sums_into<P, n, begin + W>(x, out);
}

/// Gradients of one path along one edge: dE/dM into dM, which may be M itself, dE/dr over channels summed into dr, dE/d source into
/// `edge.dsource`. radial, slope: of its columns. grad: dE/d messages of the atom, rows [2·l3 + 1] at `stride`.
template <class P, int l1, int l3, bool first, typename T = typename P::T>
METALFF_APART void scatter_path(const Edge<T> &edge, const T *radial, const T *slope, const T *M, int D, const T *grad,
                                   std::size_t stride, T *dM, typename P::V &dr)
{
  constexpr int n1 = 2 * l1 + 1, n3 = 2 * l3 + 1, W = P::width;
  using V = typename P::V;
  V slopes = {};
  METALFF_ROLLED
  for (int m1 = 0; m1 < n1; ++m1) {
    V sum[n3] = {};
    T factor[n3];
    METALFF_UNROLL
    for (int m3 = 0; m3 < n3; ++m3) factor[m3] = M[(m1 * n3 + m3) * W];
    for (int v = 0; v < D / W; ++v) {
      const V R = P::of(radial, v);
      V t = R, u = {};
      if constexpr (!first) t *= P::of(edge.source + std::size_t(l1 * l1 + m1) * D, v);
      METALFF_UNROLLED
      for (int m3 = 0; m3 < n3; ++m3) {
        const V g = P::of(grad + m3 * stride, v);
        sum[m3] += t * g;
        u += factor[m3] * g;
      }
      if constexpr (!first) {
        P::of(edge.dsource + std::size_t(l1 * l1 + m1) * D, v) += R * u;
        u *= P::of(edge.source + std::size_t(l1 * l1 + m1) * D, v);
      }
      slopes += u * P::of(slope, v);
    }
    P::sync();    // all lanes have read M
    sums_into<P, n3>(sum, dM + m1 * n3 * W);
  }
  dr += slopes;
}

/// Gradients of one path along one edge by its radial functions, into dradial of its columns, and by the features of the neighbour, summed
/// into `edge.dsource`: what the parameters need. The rest as in scatter_path.
template <class P, int l1, int l3, bool first, typename T = typename P::T>
METALFF_APART void slope_path(const Edge<T> &edge, const T *radial, const T *M, int D, const T *grad, std::size_t stride, T *dradial)
{
  constexpr int n1 = 2 * l1 + 1, n3 = 2 * l3 + 1, W = P::width;
  using V = typename P::V;
  for (int v = 0; v < D / W; ++v) {
    V g[n3], dR = {};
    for (int m3 = 0; m3 < n3; ++m3) g[m3] = P::of(grad + m3 * stride, v);
    METALFF_UNROLLED
    for (int m1 = 0; m1 < n1; ++m1) {
      V u = {};
      METALFF_UNROLLED
      for (int m3 = 0; m3 < n3; ++m3) u += M[(m1 * n3 + m3) * W] * g[m3];
      if constexpr (!first) {
        const std::size_t at = std::size_t(l1 * l1 + m1) * D;
        P::of(edge.dsource + at, v) += P::of(radial, v) * u;
        u *= P::of(edge.source + at, v);
      }
      dR += u;
    }
    P::of(dradial, v) = dR;
  }
}

/// Calls act<l1, l3, first>() for the l of a path, each up to 4; the first layer has l1 = 0 only.
template <bool first, int most = 4, typename Act> METALFF_INLINE void with_path(int l1, int l3, Act &&act)
{
  auto end = [&]<int a>() {
    switch (l3) {
      case 0: return act.template operator()<a, 0>();
      case 1:
        if constexpr (most >= 1) act.template operator()<a, 1>();
        return;
      case 2:
        if constexpr (most >= 2) act.template operator()<a, 2>();
        return;
      case 3:
        if constexpr (most >= 3) act.template operator()<a, 3>();
        return;
      case 4:
        if constexpr (most >= 4) act.template operator()<a, 4>();
        return;
    }
  };
  if constexpr (first) {
    end.template operator()<0>();
  } else {
    switch (l1) {
      case 0: return end.template operator()<0>();
      case 1: return end.template operator()<1>();
      case 2: return end.template operator()<2>();
      case 3: return end.template operator()<3>();
      case 4: return end.template operator()<4>();
    }
  }
}

}    // namespace metalff
