// C = A·B (+ C) for a few rows and whole registers of columns: the linear maps between features, and Aᵀ·B for their gradients.
#pragma once

#include "simd.h"

namespace metalff {
namespace detail {

template <typename T, int rows, int cols, bool transposed>
inline void block(int K, const T *A, int lda, const T *B, int ldb, T *C, int ldc, bool add)
{
  Lanes<T> sum[rows][cols];
  for (int i = 0; i < rows; ++i)
    for (int v = 0; v < cols; ++v) sum[i][v] = add ? lanes(C + std::size_t(i) * ldc, v) : Lanes<T>{};
  for (int k = 0; k < K; ++k) {
    const T *b = B + std::size_t(k) * ldb;
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const T a = transposed ? A[std::size_t(k) * lda + i] : A[std::size_t(i) * lda + k];
#pragma GCC unroll 8
      for (int v = 0; v < cols; ++v) sum[i][v] += a * lanes(b, v);
    }
  }
  for (int i = 0; i < rows; ++i)
    for (int v = 0; v < cols; ++v) lanes(C + std::size_t(i) * ldc, v) = sum[i][v];
}

template <typename T, int cols, bool transposed>
inline void panel(int M, int K, const T *A, int lda, const T *B, int ldb, T *C, int ldc, bool add)
{
  constexpr int rows = 6;
  const std::size_t next = transposed ? 1 : lda;    // in A, from a row of C to the one below
  int i = 0;
  for (; i + rows <= M; i += rows) block<T, rows, cols, transposed>(K, A + i * next, lda, B, ldb, C + std::size_t(i) * ldc, ldc, add);
  const T *a = A + i * next;
  T *c = C + std::size_t(i) * ldc;
  switch (M - i) {
    case 5: return block<T, 5, cols, transposed>(K, a, lda, B, ldb, c, ldc, add);
    case 4: return block<T, 4, cols, transposed>(K, a, lda, B, ldb, c, ldc, add);
    case 3: return block<T, 3, cols, transposed>(K, a, lda, B, ldb, c, ldc, add);
    case 2: return block<T, 2, cols, transposed>(K, a, lda, B, ldb, c, ldc, add);
    case 1: return block<T, 1, cols, transposed>(K, a, lda, B, ldb, c, ldc, add);
  }
}

}    // namespace detail

/// C[M, N] = A[M, K]·B[K, N], or += with `add`; rows lda, ldb, ldc apart; N, ldb and ldc in whole registers. transposed: A is [K, M].
template <bool transposed = false, typename T>
void gemm(int M, int N, int K, const T *A, int lda, const T *B, int ldb, T *C, int ldc, bool add = false)
{
  constexpr int most = register_bytes == 64 ? 4 : 2, W = width<T>;
  int v = 0;
  for (; v + most <= N / W; v += most) detail::panel<T, most, transposed>(M, K, A, lda, B + v * W, ldb, C + v * W, ldc, add);
  if (most == 4 && v + 2 <= N / W) detail::panel<T, 2, transposed>(M, K, A, lda, B + v * W, ldb, C + v * W, ldc, add), v += 2;
  if (v < N / W) detail::panel<T, 1, transposed>(M, K, A, lda, B + v * W, ldb, C + v * W, ldc, add);
}

}    // namespace metalff
