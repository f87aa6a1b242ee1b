// Polynomial potentials: linear polynomials of the atomic cluster expansion (Drautz, Phys. Rev. B 99, 014104 (2019)), moment tensor potentials
// (Shapeev, Multiscale Model. Simul. 14, 1153 (2016)) and PACE (Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021)), which differ in their programs
// alone. Moments have neighbours in the lanes of a policy (lanes.h), programs have atoms there. poly_model.h puts the parts together.
#pragma once

#include "embedding.h"
#include "harmonics.h"
#include "lanes.h"
#include "poly_weights.h"

namespace metalff {

constexpr int poly_harmonics = (poly_l_most + 1) * (poly_l_most + 1);
constexpr int poly_tile = 4;    // radial functions, and harmonics, that are summed at once

/// A radial function where moments of one l are made of it.
struct PolyUse {
  int function, node;    // the moment of m = -l
};

/// Radial functions of a pair of elements, as the kernels want them.
template <typename T> struct PolyRadialTable {
  double first = 0.0, step = 1.0, cutoff = 0.0;
  int knots = 0, functions = 0, row = 0;         // row: functions in whole registers
  const T *table = nullptr;                      // [knots, 3, row] value, slope · step, curvature · step²
  const int *use_first = nullptr;                // [l_max + 2]
  const PolyUse *use = nullptr;                  // by l
};

/// A program, products by node and terms by their first node.
template <typename T> struct PolyTables {
  int moments = 0, nodes = 0, densities = 0, linear_terms = 0;
  bool linear = false;
  const int *product_first = nullptr;            // [nodes - moments + 1]
  const int *a = nullptr, *b = nullptr;          // [products]; b -1: of one factor
  const T *factor = nullptr;
  const int *term_first = nullptr, *term_b = nullptr;    // [nodes + 1], [terms]
  const T *weight = nullptr;                     // [densities, terms]
  const int *linear_a = nullptr;                 // [linear terms]
  const T *linear_weight = nullptr;              // [densities, linear terms]
  int terms = 0;
  const PolyProgram::Embedding *embedding = nullptr;
};

/// Quintic Hermite polynomials of t, and their slopes: of value, slope and curvature at the left knot and at the right one.
template <typename T> struct HermiteWeights {
  T value[6], slope[6];

  METALFF_INLINE explicit HermiteWeights(double t)
  {
    const double t2 = t * t, t3 = t2 * t, t4 = t3 * t, t5 = t4 * t;
    const double right = 10 * t3 - 15 * t4 + 6 * t5, dright = 30 * t2 - 60 * t3 + 30 * t4;
    value[0] = T(1 - right), slope[0] = T(-dright);
    value[1] = T(t - 6 * t3 + 8 * t4 - 3 * t5), slope[1] = T(1 - 18 * t2 + 32 * t3 - 15 * t4);
    value[2] = T(0.5 * t2 - 1.5 * t3 + 1.5 * t4 - 0.5 * t5), slope[2] = T(t - 4.5 * t2 + 6 * t3 - 2.5 * t4);
    value[3] = T(right), slope[3] = T(dright);
    value[4] = T(-4 * t3 + 7 * t4 - 3 * t5), slope[4] = T(-12 * t2 + 28 * t3 - 15 * t4);
    value[5] = T(0.5 * t3 - t4 + 0.5 * t5), slope[5] = T(1.5 * t2 - 4 * t3 + 2.5 * t4);
  }
};

/// Values and slopes (1/Å) of all functions at one distance, [row] each.
template <class P> METALFF_INLINE void radial_functions(const PolyRadialTable<typename P::T> &t, double r, typename P::T *value, typename P::T *slope)
{
  using T = typename P::T;
  using V = typename P::V;
  const double at = (r - t.first) / t.step;
  const T per = T(1.0 / t.step);
  if (!(at >= 0.0)) {    // a straight line; NaN goes on
    for (int v = 0; v < t.row / P::width; ++v) {
      const V line = P::of(t.table + t.row, v);
      P::of(value, v) = P::of(t.table, v) + T(at) * line, P::of(slope, v) = per * line;
    }
    return;
  }
  const int k = at < t.knots - 2 ? int(at) : t.knots - 2;
  const HermiteWeights<T> w(at - k < 1.0 ? at - k : 1.0);
  const T *left = t.table + std::size_t(3) * k * t.row;
  for (int v = 0; v < t.row / P::width; ++v) {
    V sum = P::all(0), along = P::all(0);
    METALFF_UNROLLED
    for (int c = 0; c < 6; ++c) {
      const V x = P::of(left + c * t.row, v);
      sum += w.value[c] * x, along += w.slope[c] * x;
    }
    P::of(value, v) = sum, P::of(slope, v) = per * along;
  }
}

/// Sums over neighbours of N functions times L harmonics: put(n, y, sum).
/// \param R, Y registers of the neighbours, rows of `row_R` and `row_Y` registers
template <class P, int N, int L, typename Put>
METALFF_INLINE void sum_moments(const typename P::V *R, int row_R, const int (&function)[poly_tile], const typename P::V *Y, int row_Y,
                                int registers, Put &&put)
{
  using V = typename P::V;
  V sum[N * L] = {};
  for (int b = 0; b < registers; ++b) {
    const V *y = Y + std::size_t(b) * row_Y, *r = R + std::size_t(b) * row_R;
    METALFF_UNROLLED
    for (int n = 0; n < N; ++n) {
      const V f = r[function[n]];
      METALFF_UNROLLED
      for (int h = 0; h < L; ++h) sum[n * L + h] += f * y[h];
    }
  }
  constexpr int W = P::width;
  METALFF_UNROLLED
  for (int begin = 0; begin < N * L; begin += W) {
    V some[W];
    METALFF_UNROLLED
    for (int k = 0; k < W; ++k) some[k] = begin + k < N * L ? sum[begin + k < N * L ? begin + k : 0] : P::all(0);
    const V totals = P::sums(some, W);
    METALFF_UNROLLED
    for (int k = 0; k < W; ++k)
      if (begin + k < N * L) put((begin + k) / L, (begin + k) % L, P::get(totals, k));
  }
}

/// dE/dY of neighbours, added, and dE/dR of N functions, added, at one l. \param G dE/d moments, `stride` numbers apart
template <class P, int N>
METALFF_INLINE void moments_backward(int l, const PolyUse *use, const typename P::T *G, int stride, const typename P::V *R, const typename P::V *Y,
                                     typename P::V *dY, typename P::V *dR)
{
  using T = typename P::T;
  using V = typename P::V;
  V f[N], sum[N];
  const T *g[N];
  METALFF_UNROLLED
  for (int n = 0; n < N; ++n) f[n] = R[use[n].function], sum[n] = dR[use[n].function], g[n] = G + std::size_t(use[n].node) * stride;
  for (int m = 0; m <= 2 * l; ++m) {
    const V y = Y[l * l + m];
    V dy = dY[l * l + m];
    METALFF_UNROLLED
    for (int n = 0; n < N; ++n) {
      const T d = g[n][m * stride];
      dy += d * f[n], sum[n] += d * y;
    }
    dY[l * l + m] = dy;
  }
  METALFF_UNROLLED
  for (int n = 0; n < N; ++n) dR[use[n].function] = sum[n];
}

/// The nodes beyond the moments; rows x [nodes] with an atom in each lane.
template <class P> METALFF_INLINE void program_forward(const PolyTables<typename P::T> &t, typename P::T *x)
{
  using V = typename P::V;
  for (int out = t.moments; out < t.nodes; ++out) {
    V sum = P::all(0);
    for (int k = t.product_first[out - t.moments]; k < t.product_first[out - t.moments + 1]; ++k) {
      const V a = t.factor[k] * P::of(x, t.a[k]);
      sum += t.b[k] < 0 ? a : a * P::of(x, t.b[k]);
    }
    P::of(x, out) = sum;
  }
}

/// dE/d moments from dE/d nodes, in place.
template <class P> METALFF_INLINE void program_backward(const PolyTables<typename P::T> &t, const typename P::T *x, typename P::T *G)
{
  using V = typename P::V;
  for (int out = t.nodes - 1; out >= t.moments; --out) {
    const V g = P::of(G, out);
    for (int k = t.product_first[out - t.moments]; k < t.product_first[out - t.moments + 1]; ++k) {
      const V d = t.factor[k] * g;
      const int a = t.a[k], b = t.b[k];
      if (b < 0) {
        P::of(G, a) += d;
      } else {
        P::of(G, a) += d * P::of(x, b);
        P::of(G, b) += d * P::of(x, a);
      }
    }
  }
}

/// Σ weight · node · node and, added to G, its derivatives by nodes. \param weight of a term [terms], of a linear one
template <class P, typename Weight, typename Linear>
METALFF_INLINE typename P::V sum_terms(const PolyTables<typename P::T> &t, const typename P::T *x, typename P::T *G, Weight &&weight, Linear &&linear)
{
  using V = typename P::V;
  V energy = P::all(0);
  for (int a = 0; a < t.nodes; ++a) {
    const int first = t.term_first[a], last = t.term_first[a + 1];
    if (first == last) continue;
    const V xa = P::of(x, a);
    V sum = P::all(0);
    for (int k = first; k < last; ++k) {
      const auto w = weight(k);
      const int b = t.term_b[k];
      sum += w * P::of(x, b);
      P::of(G, b) += w * xa;
    }
    energy += xa * sum;
    P::of(G, a) += sum;
  }
  for (int k = 0; k < t.linear_terms; ++k) {
    const auto w = linear(k);
    energy += w * P::of(x, t.linear_a[k]);
    P::of(G, t.linear_a[k]) += w + P::all(0);
  }
  return energy;
}

/// ρ_p of all densities. \param rho [densities]
template <class P> METALFF_INLINE void densities(const PolyTables<typename P::T> &t, const typename P::T *x, typename P::V *rho)
{
  using V = typename P::V;
  const int D = t.densities;
  for (int p = 0; p < D; ++p) rho[p] = P::all(0);
  for (int a = 0; a < t.nodes; ++a)
    for (int k = t.term_first[a]; k < t.term_first[a + 1]; ++k) {
      const V product = P::of(x, a) * P::of(x, t.term_b[k]);
      for (int p = 0; p < D; ++p) rho[p] += t.weight[std::size_t(p) * t.terms + k] * product;
    }
  for (int k = 0; k < t.linear_terms; ++k)
    for (int p = 0; p < D; ++p) rho[p] += t.linear_weight[std::size_t(p) * t.linear_terms + k] * P::of(x, t.linear_a[k]);
}

/// ρ_p as the energy, and its derivatives by moments in G; nodes are complete.
template <class P> METALFF_INLINE typename P::V one_density(const PolyTables<typename P::T> &t, int p, const typename P::T *x, typename P::T *G)
{
  using T = typename P::T;
  for (int k = 0; k < t.nodes; ++k) P::of(G, k) = P::all(0);
  const T *weight = t.weight + std::size_t(p) * t.terms, *linear = t.linear_weight + std::size_t(p) * t.linear_terms;
  const auto energy = sum_terms<P>(t, x, G, [&](int k) { return weight[k]; }, [&](int k) { return linear[k]; });
  program_backward<P>(t, x, G);
  return energy;
}

/// What an atom's nearest neighbour leaves of it: c of all but the core, of which 1 - c is left; dc/dr. As ML-PACE switches to ZBL.
struct PolySwitch {
  double c = 1.0, slope = 0.0;

  METALFF_INLINE PolySwitch() {}
  /// \param beyond Å past the distance where the core alone is left \param width Å from there on to all
  METALFF_INLINE PolySwitch(double beyond, double width)
  {
    if (!(beyond < width)) return;
    const double x = beyond > 0.0 ? 2.0 * beyond / width - 1.0 : -1.0, side = 1.0 - x * x;
    c = 0.5 + 3.75 * (x / 4.0 - x * x * x / 6.0 + x * x * x * x * x / 20.0);
    slope = 1.875 / width * side * side;
  }
};

/// Energies of atoms from their moments, and dE/d moments in G.
/// \param near of each lane, of programs with a core; then `excess` becomes dE/dc
template <class P>
METALFF_INLINE typename P::V polynomial(const PolyTables<typename P::T> &t, typename P::T *x, typename P::T *G, const PolySwitch *near = nullptr,
                                        typename P::V *excess = nullptr)
{
  using T = typename P::T;
  using V = typename P::V;
  program_forward<P>(t, x);
  if (t.linear) return one_density<P>(t, 0, x, G);
  for (int k = 0; k < t.nodes; ++k) P::of(G, k) = P::all(0);
  V energy = P::all(0), rho[poly_densities_most], slope[poly_densities_most], core = P::all(0);
  densities<P>(t, x, rho);
  for (int p = 0; p < t.densities; ++p) {
    const auto &e = t.embedding[p];
    slope[p] = P::all(0);
    P::lanes([&](int lane) {
      double F, dF;
      const bool of_core = e.kind == poly_core;
      embed(of_core ? 0 : e.kind, e.w, e.m, double(P::get(rho[p], lane)), F, dF);
      if (near) dF *= of_core ? 1.0 - near[lane].c : near[lane].c;
      V &sum = of_core ? core : energy;
      P::set(sum, lane, P::get(sum, lane) + T(F)), P::set(slope[p], lane, T(dF));
    });
  }
  if (near) {
    *excess = energy - core;
    P::lanes([&](int lane) { P::set(energy, lane, T(near[lane].c) * P::get(energy, lane) + T(1.0 - near[lane].c) * P::get(core, lane)); });
  }
  auto mixed = [&](const T *weight, int stride) {
    V w = P::all(0);
    for (int p = 0; p < t.densities; ++p) w += weight[std::size_t(p) * stride] * slope[p];
    return w;
  };
  sum_terms<P>(t, x, G, [&](int k) { return mixed(t.weight + k, t.terms); }, [&](int k) { return mixed(t.linear_weight + k, t.linear_terms); });
  program_backward<P>(t, x, G);
  return energy;
}

}    // namespace metalff
