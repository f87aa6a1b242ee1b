// What a layer of MACE does to one atom, or to a register of edges; who calls it, and for which, is mace_layer.h's or a device's.
#pragma once

#include "contraction_kernel.h"
#include "convolution.h"
#include "gemm_kernel.h"
#include "harmonics.h"

#include <cmath>

namespace metalff {

constexpr int mace_l_most = 4;
template <typename T> constexpr int default_knots = sizeof(T) == 4 ? 128 : 256;    // errors of 1e-7 and 1e-9 of the forces

/// Features of some atoms by l: [atoms · (2l + 1), channels], one l after the other.
template <typename T> struct FeatureRows {
  T *first;
  int channels;
  std::size_t atoms, begin = 0;

  METALFF_INLINE T *of(int l, std::size_t a) const { return first + (atoms * l * l + (begin + a) * (2 * l + 1)) * channels; }
  FeatureRows from(std::size_t a) const { return {first, channels, atoms, begin + a}; }
  FeatureRows<const T> constant() const { return {first, channels, atoms, begin}; }
  METALFF_INLINE static constexpr std::size_t size(int channels, int l_max, std::size_t atoms)
  {
    return atoms * (l_max + 1) * (l_max + 1) * channels;
  }
};

/// M[entry] += factor · Y[harmonic].
template <typename T> struct Coupling {
  int entry, harmonic;
  T factor;
};
template <typename T> struct CouplingTable {
  int l_max, entries, n;
  const Coupling<T> *couplings;
  const HarmonicNorms<T, mace_l_most> *norms;
};

/// Angular factors of edges, one per lane, in direction u from the neighbour to the centre: M[entries][width].
template <class P, typename T = typename P::T, typename V = typename P::V>
METALFF_INLINE void angular_factors(const CouplingTable<T> &table, const V (&u)[3], T *M)
{
  Harmonics<P, mace_l_most> harmonics(*table.norms);
  V Y[Harmonics<P, mace_l_most>::count_most];
  harmonics.values(table.l_max, u, Y);
  for (int q = 0; q < table.entries; ++q) P::of(M, q) = P::all(0);
  for (int c = 0; c < table.n; ++c) {
    const Coupling<T> &coupling = table.couplings[c];
    P::of(M, coupling.entry) += coupling.factor * Y[coupling.harmonic];
  }
}

/// dE/dM → dE/du, the part of it across u.
template <class P, typename T = typename P::T, typename V = typename P::V>
METALFF_INLINE void angular_gradient(const CouplingTable<T> &table, const V (&u)[3], const T *dM, V (&across)[3])
{
  Harmonics<P, mace_l_most> harmonics(*table.norms);
  constexpr int count = Harmonics<P, mace_l_most>::count_most;
  V Y[count], dY[count], du[3];
  for (int h = 0; h < count; ++h) dY[h] = P::all(0);
  for (int c = 0; c < table.n; ++c) {
    const Coupling<T> &coupling = table.couplings[c];
    dY[coupling.harmonic] += coupling.factor * P::of(dM, coupling.entry);
  }
  harmonics.values(table.l_max, u, Y);
  harmonics.gradient(table.l_max, dY, du);
  const V along = u[0] * du[0] + u[1] * du[1] + u[2] * du[2];
  for (int c = 0; c < 3; ++c) across[c] = du[c] - along * u[c];
}

/// The polynomials of a layer, by l of what they make.
template <typename T> struct ProductTable {
  int l_mid, l_out;
  PolynomialTable<T> of[mace_l_most + 1];
};

/// The product basis of n atoms from a on, in the v-th register of channels: y from x.
template <class P, int n, typename T = typename P::T, typename V = typename P::V>
METALFF_INLINE void product_forward(const ProductTable<T> &table, int type, const FeatureRows<const T> &x, const FeatureRows<T> &y, std::size_t a,
                                    int v)
{
  V in[(mace_l_most + 1) * (mace_l_most + 1)][n];
  for (int l = 0; l <= table.l_mid; ++l)
    for (int m = 0; m < 2 * l + 1; ++m)
      for (int b = 0; b < n; ++b) in[l * l + m][b] = P::of(x.of(l, a + b) + std::size_t(m) * x.channels, v);
  for (int l = 0; l <= table.l_out; ++l) {
    const PolynomialTable<T> &polynomial = table.of[l];
    V out[2 * mace_l_most + 1][n] = {};
    polynomial_forward<P, n>(polynomial, polynomial.weights + polynomial.start(type, v, P::width), in, out);
    for (int m = 0; m < 2 * l + 1; ++m)
      for (int b = 0; b < n; ++b) P::of(y.of(l, a + b) + std::size_t(m) * y.channels, v) = out[m][b];
  }
}

/// dE/dx from dE/dy.
template <class P, int n, typename T = typename P::T, typename V = typename P::V>
METALFF_INLINE void product_backward(const ProductTable<T> &table, int type, const FeatureRows<const T> &x, const FeatureRows<const T> &dy,
                                     const FeatureRows<T> &dx, std::size_t a, int v)
{
  constexpr int most = (mace_l_most + 1) * (mace_l_most + 1);
  V in[most][n], out[most][n];
  for (int l = 0; l <= table.l_mid; ++l)
    for (int m = 0; m < 2 * l + 1; ++m)
      for (int b = 0; b < n; ++b)
        in[l * l + m][b] = P::of(x.of(l, a + b) + std::size_t(m) * x.channels, v), out[l * l + m][b] = P::all(0);
  for (int l = 0; l <= table.l_out; ++l) {
    const PolynomialTable<T> &polynomial = table.of[l];
    V g[2 * mace_l_most + 1][n];
    for (int m = 0; m < 2 * l + 1; ++m)
      for (int b = 0; b < n; ++b) g[m][b] = P::of(dy.of(l, a + b) + std::size_t(m) * dy.channels, v);
    polynomial_backward<P, n>(polynomial, polynomial.weights + polynomial.start(type, v, P::width), in, g, out);
  }
  for (int l = 0; l <= table.l_mid; ++l)
    for (int m = 0; m < 2 * l + 1; ++m)
      for (int b = 0; b < n; ++b) P::of(dx.of(l, a + b) + std::size_t(m) * dx.channels, v) = out[l * l + m][b];
}

/// E = Σ_h second_h silu(z_h), z = x·matrix; or E = z_0.
template <typename T> struct ReadoutTable {
  int channels, width, hidden;            // width: of `hidden` numbers in whole registers
  const T *matrix, *transposed, *second;  // second null: linear
};

/// The energy of an atom's features x, and its gradient into dx; z: [width] scratch.
template <class P, typename T = typename P::T>
METALFF_INLINE T readout_energy(const ReadoutTable<T> &table, const T *x, T *z, T *dx)
{
  const ByRow<T> hidden{z, 0};
  gemm_rows<P, 2>(0, 1, table.width, table.channels, ByRow<const T>{x, 0}, table.matrix, table.width, hidden, false);
  P::sync();
  T energy = 0;
  if (table.second) {
    P::each(table.width, [&](int h) {
      if (h >= table.hidden) {
        z[h] = 0;
        return;
      }
      const T sigmoid = 1 / (1 + std::exp(-z[h]));
      energy += table.second[h] * z[h] * sigmoid;
      z[h] = table.second[h] * sigmoid * (1 + z[h] * (1 - sigmoid));
    });
  } else {
    P::each(table.width, [&](int h) {
      if (h == 0) energy += z[0];
      z[h] = h == 0;
    });
  }
  energy = P::total(energy);
  P::sync();
  gemm_rows<P, 2>(0, 1, table.channels, table.width, ByRow<const T>{z, 0}, table.transposed, table.channels, ByRow<T>{dx, 0}, false);
  P::sync();
  return energy;
}

}    // namespace metalff
