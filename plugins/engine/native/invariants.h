// Invariants of NEP of three and four equal densities.
#pragma once

#include "harmonics.h"
#include "nep_weights.h"

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

namespace metalff {

template <typename T> struct InvariantTerm {
  int a, b, c;
  T factor;
};

/// Those of a model. Densities S are indexed as harmonics, with Σ_m Y_lm² = 2l + 1; S(h) is one of them, a register or a number.
/// Three densities: Σ 3j(l1 l2 l3; m1 m2 m3) S_l1m1 S_l2m2 S_l3m3 / (4π)^(3/2); four of l = 1: 7/15 (Σ_m S_1m²/4π)².
template <typename T> struct Invariants {
  int count = 0, quartic = -1;    // quartic: the one of four densities
  int first[nep_invariants + 1] = {};
  const InvariantTerm<T> *terms = nullptr;

  template <class V, class Density> METALFF_INLINE V value(int k, const Density &S) const
  {
    if (k == quartic) {
      const V p = S(1) * S(1) + S(2) * S(2) + S(3) * S(3);
      return T(quartic_factor) * p * p;
    }
    V sum = {};
    for (int j = first[k]; j < first[k + 1]; ++j) sum += terms[j].factor * S(terms[j].a) * S(terms[j].b) * S(terms[j].c);
    return sum;
  }

  /// dS += d · ∂value/∂S.
  template <class V, class Density, class Gradient> METALFF_INLINE void add_gradient(int k, V d, const Density &S, const Gradient &dS) const
  {
    if (k == quartic) {
      const V f = T(4 * quartic_factor) * d * (S(1) * S(1) + S(2) * S(2) + S(3) * S(3));
      for (int h = 1; h < 4; ++h) dS(h) += f * S(h);
    }
    for (int j = first[k]; j < first[k + 1]; ++j) {
      const InvariantTerm<T> t = terms[j];
      const V f = t.factor * d, fa = f * S(t.a), bc = S(t.b) * S(t.c);
      dS(t.a) += f * bc;
      dS(t.b) += fa * S(t.c);
      dS(t.c) += fa * S(t.b);
    }
  }

 private:
  static constexpr double quartic_factor = 7.0 / 15.0 / (16.0 * std::numbers::pi * std::numbers::pi);
};

/// Terms of an invariant of three densities. The 3j symbols of real harmonics are, up to one factor, integrals over three of them: here for an
/// even sum of l, by a quadrature that is exact for their degree.
inline std::vector<InvariantTerm<double>> invariant_terms(NepInvariant kind)
{
  constexpr int ls[nep_invariants][3] = {{2, 2, 2}, {0, 0, 0}, {1, 1, 2}, {1, 2, 3}, {2, 3, 3}, {1, 3, 4}};
  if (kind == NepInvariant::Q1111) return {};
  const int l1 = ls[int(kind)][0], l2 = ls[int(kind)][1], l3 = ls[int(kind)][2];
  using H = Harmonics<Scalar<double>>;
  const H::Norms norms;
  H harmonics(norms);
  const int polar = (l1 + l2 + l3) / 2 + 1, round = l1 + l2 + l3 + 1;
  std::vector<double> integral((2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1), 0.0);
  for (int k = 0; k < polar; ++k) {
    // Gauss and Legendre: roots of P_polar by Newton's method
    double z = std::cos(std::numbers::pi * (k + 0.75) / (polar + 0.5)), slope = 1.0;
    for (int step = 0; step < 50; ++step) {
      double p0 = 1.0, p1 = z;
      for (int n = 2; n <= polar; ++n) {
        const double p2 = ((2 * n - 1) * z * p1 - (n - 1) * p0) / n;
        p0 = p1, p1 = p2;
      }
      slope = polar * (z * p1 - p0) / (z * z - 1.0);
      z -= p1 / slope;
    }
    const double weight = 1.0 / ((1.0 - z * z) * slope * slope) / round;
    for (int j = 0; j < round; ++j) {
      const double phi = 2.0 * std::numbers::pi * j / round, rho = std::sqrt(1.0 - z * z);
      double Y[H::count_most];
      const double u[3] = {rho * std::sin(phi), z, rho * std::cos(phi)};
      harmonics.values(l3, u, Y);
      double *out = integral.data();
      for (int a = l1 * l1; a < (l1 + 1) * (l1 + 1); ++a)
        for (int b = l2 * l2; b < (l2 + 1) * (l2 + 1); ++b)
          for (int c = l3 * l3; c < (l3 + 1) * (l3 + 1); ++c) *out++ += weight * Y[a] * Y[b] * Y[c];
    }
  }
  // at m = 0 the integral is √((2l1+1)(2l2+1)(2l3+1)) · 3j², and 3j has the sign of (-1)^((l1+l2+l3)/2)
  const double size = std::sqrt((2.0 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1));
  const double zero = integral[(l1 * (2 * l2 + 1) + l2) * (2 * l3 + 1) + l3];
  const double symbol = ((l1 + l2 + l3) / 2 % 2 ? -1.0 : 1.0) * std::sqrt(zero / size);
  const double factor = 1.0 / (size * symbol * std::pow(4.0 * std::numbers::pi, 1.5));
  std::vector<InvariantTerm<double>> terms;
  auto add = [&](int a, int b, int c, double f) {
    if (a > b) std::swap(a, b);
    if (b > c) std::swap(b, c);
    if (a > b) std::swap(a, b);
    for (auto &t : terms)
      if (t.a == a && t.b == b && t.c == c) {
        t.factor += f;
        return;
      }
    terms.push_back({a, b, c, f});
  };
  const double *value = integral.data();
  for (int a = l1 * l1; a < (l1 + 1) * (l1 + 1); ++a)
    for (int b = l2 * l2; b < (l2 + 1) * (l2 + 1); ++b)
      for (int c = l3 * l3; c < (l3 + 1) * (l3 + 1); ++c, ++value)
        if (std::abs(*value) > 1e-10) add(a, b, c, *value * factor);
  return terms;
}

}    // namespace metalff
