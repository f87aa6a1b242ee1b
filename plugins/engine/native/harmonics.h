// Real spherical harmonics and their gradients, many edges at a time.
#pragma once

#include "simd.h"

#include <cmath>

namespace metalff {

/// Real spherical harmonics of unit vectors in the convention of e3nn: y is the polar axis, Σ_m Y_lm² = 2l + 1.
/// With X = z, Y = x, Z = y: Y_l,±m = N_lm · dᵐP_l/dZᵐ · {Re, Im}(X + iY)ᵐ.
template <typename T, int most = 4> class Harmonics {
 public:
  static constexpr int l_most = most, count_most = (l_most + 1) * (l_most + 1);
  using V = Lanes<T>;

  Harmonics()
  {
    for (int l = 0; l <= l_most; ++l)
      for (int m = 0; m <= l; ++m) {
        double ratio = m ? 2.0 : 1.0;
        for (int k = l - m + 1; k <= l + m; ++k) ratio /= k;
        norm_[l][m] = T(std::sqrt((2 * l + 1) * ratio));
      }
  }

  /// Y[l² + l + m] of the unit vectors u for l ≤ l_max.
  void values(int l_max, const V (&u)[3], V *Y)
  {
    prepare(l_max, u);
    for (int l = 0; l <= l_max; ++l) {
      V *y = Y + l * l + l;
      y[0] = norm_[l][0] * P[l][0];
      for (int m = 1; m <= l; ++m) {
        const V factor = norm_[l][m] * P[l][m];
        y[m] = factor * A[m], y[-m] = factor * B[m];
      }
    }
  }

  /// dE/du along the sphere and beyond, from dE/dY; u as in the last values().
  void gradient(int l_max, const V *dY, V (&du)[3]) const
  {
    V dX = {}, dY_ = {}, dZ = {};
    for (int l = 1; l <= l_max; ++l) {
      const V *g = dY + l * l + l;
      dZ += g[0] * norm_[l][0] * P[l][1];
      for (int m = 1; m <= l; ++m) {
        const V plus = norm_[l][m] * g[m], minus = norm_[l][m] * g[-m];
        if (m < l) dZ += P[l][m + 1] * (plus * A[m] + minus * B[m]);
        const V p = T(m) * P[l][m];
        dX += p * (plus * A[m - 1] + minus * B[m - 1]);
        dY_ += p * (minus * A[m - 1] - plus * B[m - 1]);
      }
    }
    du[0] = dY_, du[1] = dZ, du[2] = dX;
  }

 private:
  void prepare(int l_max, const V (&u)[3])
  {
    const V X = u[2], Y = u[0], Z = u[1];
    A[0] = V{} + T(1), B[0] = V{};
    for (int m = 1; m <= l_max; ++m) A[m] = X * A[m - 1] - Y * B[m - 1], B[m] = Y * A[m - 1] + X * B[m - 1];
    T odd = T(1);
    for (int m = 0; m <= l_max; ++m) {
      P[m][m] = V{} + odd;
      if (m < l_max) P[m + 1][m] = T(2 * m + 1) * Z * P[m][m];
      for (int l = m + 2; l <= l_max; ++l)
        P[l][m] = (T(2 * l - 1) * Z * P[l - 1][m] - T(l + m - 1) * P[l - 2][m]) * T(1.0 / (l - m));
      odd *= T(2 * m + 1);
    }
  }

  T norm_[l_most + 1][l_most + 1];
  V A[l_most + 1], B[l_most + 1], P[l_most + 1][l_most + 1];
};

}    // namespace metalff
