// The linear maps between features on a processor, C = A·B, and Aᵀ·B for their gradients.
#pragma once

#include "gemm_kernel.h"
#include "simd.h"

namespace metalff {

/// C[M, N] = A[M, K]·B[K, N], or += with `add`; rows lda, ldb, ldc apart; N, ldb and ldc in whole registers. transposed: A is [K, M].
template <bool transposed = false, typename T>
void gemm(int M, int N, int K, const T *A, int lda, const T *B, int ldb, T *C, int ldc, bool add = false)
{
  using P = Simd<T>;
  constexpr int most = register_bytes == 64 ? 4 : 2;
  const ByRow<T> out{C, std::size_t(ldc)};
  if constexpr (transposed)
    gemm_rows<P, most>(0, M, N, K, ByColumn<const T>{A, std::size_t(lda)}, B, ldb, out, add);
  else
    gemm_rows<P, most>(0, M, N, K, ByRow<const T>{A, std::size_t(lda)}, B, ldb, out, add);
}

}    // namespace metalff
