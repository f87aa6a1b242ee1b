// Real spherical harmonics and their gradients, many edges at a time.
#pragma once

#include "lanes.h"

#include <cmath>

namespace metalff {

/// Factors of harmonics up to l = most: √((2l+1) (2 - δ_m0) (l-m)!/(l+m)!).
template <typename T, int most> struct HarmonicNorms {
  T of[most + 1][most + 1] = {};

  HarmonicNorms()
  {
    for (int l = 0; l <= most; ++l)
      for (int m = 0; m <= l; ++m) {
        double ratio = m ? 2.0 : 1.0;
        for (int k = l - m + 1; k <= l + m; ++k) ratio /= k;
        of[l][m] = T(std::sqrt((2 * l + 1) * ratio));
      }
  }
};

/// Real spherical harmonics of unit vectors in the convention of e3nn: y is the polar axis, Σ_m Y_lm² = 2l + 1.
/// With X = z, Y = x, Z = y: Y_l,±m = N_lm · dᵐP_l/dZᵐ · {Re, Im}(X + iY)ᵐ. One direction per lane.
template <class P, int most = 4> class Harmonics {
 public:
  static constexpr int l_most = most, count_most = (l_most + 1) * (l_most + 1);
  using T = typename P::T;
  using V = typename P::V;
  using Norms = HarmonicNorms<T, most>;

  METALFF_INLINE explicit Harmonics(const Norms &norms) : norm_(norms.of) {}

  /// Y[l² + l + m] of the unit vectors u for l ≤ l_max.
  METALFF_INLINE void values(int l_max, const V (&u)[3], V *Y)
  {
    prepare(l_max, u);
    METALFF_UNROLL
    for (int l = 0; l <= l_max; ++l) {
      V *y = Y + l * l + l;
      y[0] = norm_[l][0] * L[l][0];
      METALFF_UNROLL
      for (int m = 1; m <= l; ++m) {
        const V factor = norm_[l][m] * L[l][m];
        y[m] = factor * A[m], y[-m] = factor * B[m];
      }
    }
  }

  /// dE/du along the sphere and beyond, from dE/dY; u as in the last values().
  METALFF_INLINE void gradient(int l_max, const V *dY, V (&du)[3]) const
  {
    V dX = {}, dY_ = {}, dZ = {};
    METALFF_UNROLL
    for (int l = 1; l <= l_max; ++l) {
      const V *g = dY + l * l + l;
      dZ += g[0] * norm_[l][0] * L[l][1];
      METALFF_UNROLL
      for (int m = 1; m <= l; ++m) {
        const V plus = norm_[l][m] * g[m], minus = norm_[l][m] * g[-m];
        if (m < l) dZ += L[l][m + 1] * (plus * A[m] + minus * B[m]);
        const V p = T(m) * L[l][m];
        dX += p * (plus * A[m - 1] + minus * B[m - 1]);
        dY_ += p * (minus * A[m - 1] - plus * B[m - 1]);
      }
    }
    du[0] = dY_, du[1] = dZ, du[2] = dX;
  }

 private:
  METALFF_INLINE void prepare(int l_max, const V (&u)[3])
  {
    const V X = u[2], Y = u[0], Z = u[1];
    A[0] = P::all(1), B[0] = P::all(0);
    METALFF_UNROLL
    for (int m = 1; m <= l_max; ++m) A[m] = X * A[m - 1] - Y * B[m - 1], B[m] = Y * A[m - 1] + X * B[m - 1];
    T odd = T(1);
    METALFF_UNROLL
    for (int m = 0; m <= l_max; ++m) {
      L[m][m] = P::all(odd);
      if (m < l_max) L[m + 1][m] = T(2 * m + 1) * Z * L[m][m];
      METALFF_UNROLL
      for (int l = m + 2; l <= l_max; ++l)
        L[l][m] = (T(2 * l - 1) * Z * L[l - 1][m] - T(l + m - 1) * L[l - 2][m]) * T(1.0 / (l - m));
      odd *= T(2 * m + 1);
    }
  }

  const T (&norm_)[most + 1][most + 1];
  V A[l_most + 1], B[l_most + 1], L[l_most + 1][l_most + 1];    // L: derivatives of Legendre's polynomials
};

/// dE/d of the edge's vector from those by its length and, in du, by its direction u.
template <class P>
METALFF_INLINE void edge_gradient(const typename P::V (&u)[3], typename P::V r, typename P::V dr, const typename P::V (&du)[3],
                                  typename P::V (&out)[3])
{
  using V = typename P::V;
  const V along = u[0] * du[0] + u[1] * du[1] + u[2] * du[2], per = 1 / r, radial = dr - along * per;
  for (int c = 0; c < 3; ++c) out[c] = radial * u[c] + du[c] * per;
}

}    // namespace metalff
