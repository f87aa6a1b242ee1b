// Messages: sums over neighbours of radial functions × features × spherical harmonics, and their gradients.
#pragma once

#include "simd.h"

#include <algorithm>

namespace metalff {

/// Edges of a tile as the kernels want them. Entry q of edge e is at [e / width][q][e % width]: one register holds an entry of
/// several edges.
template <typename T> struct EdgeTable {
  int entries = 0;
  Buffer<T> data;

  T *block(int b) { return data.data() + std::size_t(b) * entries * width<T>; }
  const T *of(int e) const { return data.data() + std::size_t(e / width<T>) * entries * width<T> + e % width<T>; }
  T *of(int e) { return data.data() + std::size_t(e / width<T>) * entries * width<T> + e % width<T>; }
};

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

/// Weights of quintic Hermite splines at t in [0, 1] of `width` edges; per: one over the spacing.
template <typename T> inline void hermite_weights(Lanes<T> t, T per, Hermite<T> *out)
{
  const Lanes<T> t2 = t * t, t3 = t2 * t, t4 = t2 * t2, t5 = t4 * t, half = Lanes<T>{} + T(0.5);
  const Lanes<T> value[hermite_rows] = {1 - 10 * t3 + 15 * t4 - 6 * t5, t - 6 * t3 + 8 * t4 - 3 * t5, half * (t2 - 3 * t3 + 3 * t4 - t5),
                                        10 * t3 - 15 * t4 + 6 * t5, -4 * t3 + 7 * t4 - 3 * t5, half * (t3 - 2 * t4 + t5)};
  const Lanes<T> steep = per * (30 * t2 - 60 * t3 + 30 * t4);
  const Lanes<T> slope[hermite_rows] = {-steep, per * (1 - 18 * t2 + 32 * t3 - 15 * t4), per * half * (2 * t - 9 * t2 + 12 * t3 - 5 * t4),
                                        steep, per * (-12 * t2 + 28 * t3 - 15 * t4), per * half * (3 * t2 - 8 * t3 + 5 * t4)};
  for (int lane = 0; lane < width<T>; ++lane)
    for (int k = 0; k < hermite_rows; ++k) out[lane].value[k] = value[k][lane], out[lane].slope[k] = slope[k][lane];
}

/// Weights of the six quintic B-splines that do not vanish at t in [0, 1] between two knots, the first centred two knots below.
template <typename T> inline void bspline_weights(Lanes<T> t, T per, Hermite<T> *out)
{
  const Lanes<T> t2 = t * t, t3 = t2 * t, t4 = t2 * t2, t5 = t4 * t, u = 1 - t, u2 = u * u, u4 = u2 * u2;
  constexpr T f = T(1.0 / 120), g = T(1.0 / 24);
  const Lanes<T> value[hermite_rows] = {f * u4 * u, f * (26 - 50 * t + 20 * t2 + 20 * t3 - 20 * t4 + 5 * t5),
                                        f * (66 - 60 * t2 + 30 * t4 - 10 * t5), f * (26 + 50 * t + 20 * t2 - 20 * t3 - 20 * t4 + 10 * t5),
                                        f * (1 + 5 * t + 10 * t2 + 10 * t3 + 5 * t4 - 5 * t5), f * t5};
  const Lanes<T> slope[hermite_rows] = {-g * u4, g * (-10 + 8 * t + 12 * t2 - 16 * t3 + 5 * t4), g * (-24 * t + 24 * t3 - 10 * t4),
                                        g * (10 + 8 * t - 12 * t2 - 16 * t3 + 10 * t4), g * (1 + 4 * t + 6 * t2 + 4 * t3 - 5 * t4), g * t4};
  for (int lane = 0; lane < width<T>; ++lane)
    for (int k = 0; k < hermite_rows; ++k) out[lane].value[k] = value[k][lane], out[lane].slope[k] = per * slope[k][lane];
}

/// Radial functions of an edge and their slopes, all columns.
template <typename T>
inline void radial_functions(const Edge<T> &edge, const Hermite<T> &weights, std::size_t columns, T *value, T *slope)
{
  Lanes<T> w[hermite_rows], dw[hermite_rows];
  for (int k = 0; k < hermite_rows; ++k) w[k] = Lanes<T>{} + weights.value[k], dw[k] = Lanes<T>{} + weights.slope[k];
  const T *rows = edge.row;
  for (std::size_t v = 0; v < columns / width<T>; ++v) {
    Lanes<T> R = w[0] * lanes(rows, v), dR = dw[0] * lanes(rows, v);
#pragma GCC unroll 6
    for (int k = 1; k < hermite_rows; ++k) {
      const Lanes<T> x = lanes(rows + k * columns, v);
      R += w[k] * x;
      dR += dw[k] * x;
    }
    lanes(value, v) = R, lanes(slope, v) = dR;
  }
}

template <typename T> inline Lanes<T> hermite(const T *row, std::size_t columns, int v, const T (&w)[hermite_rows])
{
  Lanes<T> sum = w[0] * lanes(row, v);
  for (int k = 1; k < hermite_rows; ++k) sum += w[k] * lanes(row + k * columns, v);
  return sum;
}

/// Messages of one path to one atom: rows [2·l3 + 1] at `stride` of D channels.
template <typename T, int l1, int l3, bool first>
void gather_path(const PathPlan &path, int begin, int end, const Edge<T> *edges, const Hermite<T> *weights,
                 const EdgeTable<T> &angular, std::size_t columns, int D, T *out, std::size_t stride)
{
  constexpr int n1 = 2 * l1 + 1, n3 = 2 * l3 + 1, W = width<T>;
  auto registers = [&]<int count>(int v) {
    Lanes<T> sum[n3][count];
    for (int m = 0; m < n3; ++m)
      for (int x = 0; x < count; ++x) sum[m][x] = Lanes<T>{};
    for (int e = begin; e < end; ++e) {
      const T *M = angular.of(e) + path.angular * W, *row = edges[e].row + path.radial;
      Lanes<T> R[count];
      for (int x = 0; x < count; ++x) R[x] = hermite(row, columns, v + x, weights[e].value);
#pragma GCC unroll 9
      for (int m1 = 0; m1 < n1; ++m1) {
        Lanes<T> t[count];
        for (int x = 0; x < count; ++x) {
          if constexpr (first)
            t[x] = R[x];
          else
            t[x] = R[x] * lanes(edges[e].source + std::size_t(l1 * l1 + m1) * D, v + x);
        }
#pragma GCC unroll 9
        for (int m3 = 0; m3 < n3; ++m3) {
          const T factor = M[(m1 * n3 + m3) * W];
          for (int x = 0; x < count; ++x) sum[m3][x] += factor * t[x];
        }
      }
    }
    for (int m = 0; m < n3; ++m)
      for (int x = 0; x < count; ++x) lanes(out + m * stride, v + x) = sum[m][x];
  };
  int v = 0;
  for (; v + 2 <= D / W; v += 2) registers.template operator()<2>(v);
  if (v < D / W) registers.template operator()<1>(v);
}

/// Gradients of one path along one edge: dE/dM into dM, dE/dr returned, dE/d source summed into `edge.dsource`. radial, slope: of its columns.
/// grad: dE/d messages of the atom, rows [2·l3 + 1] at `stride`.
template <typename T, int l1, int l3, bool first>
T scatter_path(const Edge<T> &edge, const T *radial, const T *slope, const T *M, int D, const T *grad, std::size_t stride, T *dM)
{
  constexpr int n1 = 2 * l1 + 1, n3 = 2 * l3 + 1, W = width<T>;
  Lanes<T> dr = {};
#pragma GCC unroll 1
  for (int m1 = 0; m1 < n1; ++m1) {
    Lanes<T> sum[n3] = {};
    T factor[n3];
    for (int m3 = 0; m3 < n3; ++m3) factor[m3] = M[(m1 * n3 + m3) * W];
    for (int v = 0; v < D / W; ++v) {
      const Lanes<T> R = lanes(radial, v);
      Lanes<T> t = R, u = {};
      if constexpr (!first) t *= lanes(edge.source + std::size_t(l1 * l1 + m1) * D, v);
#pragma GCC unroll 9
      for (int m3 = 0; m3 < n3; ++m3) {
        const Lanes<T> g = lanes(grad + m3 * stride, v);
        sum[m3] += t * g;
        u += factor[m3] * g;
      }
      if constexpr (!first) {
        lanes(edge.dsource + std::size_t(l1 * l1 + m1) * D, v) += R * u;
        u *= lanes(edge.source + std::size_t(l1 * l1 + m1) * D, v);
      }
      dr += u * lanes(slope, v);
    }
    for (int m3 = 0; m3 < n3; m3 += W) {
      Lanes<T> some[W];
      const int count = std::min(W, n3 - m3);
      for (int k = 0; k < W; ++k) some[k] = k < count ? sum[m3 + k] : Lanes<T>{};
      const Lanes<T> total = sums_over_lanes<T>(some, W);
      for (int k = 0; k < count; ++k) dM[(m1 * n3 + m3 + k) * W] = total[k];
    }
  }
  T total = 0;
  for (int k = 0; k < W; ++k) total += dr[k];
  return total;
}

/// Gradients of one path along one edge by its radial functions, into dradial of its columns, and by the features of the neighbour, summed
/// into `edge.dsource`: what the parameters need. The rest as in scatter_path.
template <typename T, int l1, int l3, bool first>
void slope_path(const Edge<T> &edge, const T *radial, const T *M, int D, const T *grad, std::size_t stride, T *dradial)
{
  constexpr int n1 = 2 * l1 + 1, n3 = 2 * l3 + 1, W = width<T>;
  for (int v = 0; v < D / W; ++v) {
    Lanes<T> g[n3], dR = {};
    for (int m3 = 0; m3 < n3; ++m3) g[m3] = lanes(grad + m3 * stride, v);
#pragma GCC unroll 9
    for (int m1 = 0; m1 < n1; ++m1) {
      Lanes<T> u = {};
#pragma GCC unroll 9
      for (int m3 = 0; m3 < n3; ++m3) u += M[(m1 * n3 + m3) * W] * g[m3];
      if constexpr (!first) {
        const std::size_t at = std::size_t(l1 * l1 + m1) * D;
        lanes(edge.dsource + at, v) += lanes(radial, v) * u;
        u *= lanes(edge.source + at, v);
      }
      dR += u;
    }
    lanes(dradial, v) = dR;
  }
}

template <typename T>
using GatherPath = void (*)(const PathPlan &, int, int, const Edge<T> *, const Hermite<T> *, const EdgeTable<T> &, std::size_t,
                            int, T *, std::size_t);
template <typename T>
using ScatterPath = T (*)(const Edge<T> &, const T *, const T *, const T *, int, const T *, std::size_t, T *);

template <typename T>
using SlopePath = void (*)(const Edge<T> &, const T *, const T *, int, const T *, std::size_t, T *);

template <typename T> struct PathKernels {
  GatherPath<T> gather;
  ScatterPath<T> scatter;
  SlopePath<T> slope;

  /// Those of l1 and l3, each up to 4; the first layer has l1 = 0 only.
  static PathKernels of(int l1, int l3, bool first)
  {
    return first ? pick<0, true>(l3)
        : l1 == 0 ? pick<0, false>(l3)
        : l1 == 1 ? pick<1, false>(l3)
        : l1 == 2 ? pick<2, false>(l3)
        : l1 == 3 ? pick<3, false>(l3)
                  : pick<4, false>(l3);
  }

 private:
  template <int l1, bool first> static PathKernels pick(int l3)
  {
    switch (l3) {
      case 0: return {gather_path<T, l1, 0, first>, scatter_path<T, l1, 0, first>, slope_path<T, l1, 0, first>};
      case 1: return {gather_path<T, l1, 1, first>, scatter_path<T, l1, 1, first>, slope_path<T, l1, 1, first>};
      case 2: return {gather_path<T, l1, 2, first>, scatter_path<T, l1, 2, first>, slope_path<T, l1, 2, first>};
      case 3: return {gather_path<T, l1, 3, first>, scatter_path<T, l1, 3, first>, slope_path<T, l1, 3, first>};
      default: return {gather_path<T, l1, 4, first>, scatter_path<T, l1, 4, first>, slope_path<T, l1, 4, first>};
    }
  }
};

}    // namespace metalff
