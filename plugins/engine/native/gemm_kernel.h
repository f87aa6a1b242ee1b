// C = A·B (+ C) for a few rows and whole registers of columns.
#pragma once

#include "lanes.h"

namespace metalff {

/// Numbers side by side, fetched at once.
template <typename X, int n> struct alignas(n * sizeof(X)) Pack {
  X of[n];
};

/// A matrix by rows, `stride` apart.
template <typename X> struct ByRow {
  X *first;
  std::size_t stride;
  METALFF_INLINE X &operator()(int i, int k) const { return first[std::size_t(i) * stride + k]; }
  METALFF_INLINE X *row(int i) const { return first + std::size_t(i) * stride; }
  template <class P> static constexpr int pack = P::pack;
};

/// The transpose of such a matrix.
template <typename X> struct ByColumn {
  X *first;
  std::size_t stride;
  METALFF_INLINE X &operator()(int i, int k) const { return first[std::size_t(k) * stride + i]; }
  template <class P> static constexpr int pack = 1;
};

/// Rows in groups of n: `stride` apart within a group, `group` from one to the next.
template <typename X> struct ByGroup {
  X *first;
  int n;
  std::size_t stride, group;
  METALFF_INLINE X &operator()(int i, int k) const { return row(i)[k]; }
  METALFF_INLINE X *row(int i) const { return first + std::size_t(i / n) * group + std::size_t(i % n) * stride; }
  template <class P> static constexpr int pack = P::pack;
};

/// Rows from `top` on and `cols` registers from the v-th on of C = A·B, or += with `add`; rows of B are ldb apart.
template <class P, int rows, int cols, class MatrixA, class MatrixC, typename T = typename P::T>
METALFF_INLINE void gemm_block(int top, int v, int K, const MatrixA &A, const T *B, int ldb, const MatrixC &C, bool add)
{
  using V = typename P::V;
  V sum[rows][cols];
  METALFF_UNROLL
  for (int i = 0; i < rows; ++i) {
    METALFF_UNROLL
    for (int n = 0; n < cols; ++n) sum[i][n] = add ? P::of(C.row(top + i), v + n) : P::all(0);
  }
  constexpr int pack = MatrixA::template pack<P>;
  if constexpr (pack == 1) {
    for (int k = 0; k < K; ++k) {
      const T *b = B + std::size_t(k) * ldb;
      METALFF_UNROLLED
      for (int i = 0; i < rows; ++i) {
        const T a = A(top + i, k);
        METALFF_UNROLLED
        for (int n = 0; n < cols; ++n) sum[i][n] += a * P::of(b, v + n);
      }
    }
  } else {    // K is a multiple of a pack, and so is every row
    const Pack<T, pack> *a[rows];
    METALFF_UNROLL
    for (int i = 0; i < rows; ++i) a[i] = reinterpret_cast<const Pack<T, pack> *>(A.row(top + i));
    for (int k = 0; k < K; k += pack) {
      Pack<T, pack> x[rows];
      METALFF_UNROLL
      for (int i = 0; i < rows; ++i) x[i] = *a[i]++;
      METALFF_UNROLL
      for (int j = 0; j < pack; ++j) {
        V row[cols];
        METALFF_UNROLL
        for (int n = 0; n < cols; ++n) row[n] = P::of(B + std::size_t(k + j) * ldb, v + n);
        METALFF_UNROLL
        for (int i = 0; i < rows; ++i) {
          METALFF_UNROLL
          for (int n = 0; n < cols; ++n) sum[i][n] += x[i].of[j] * row[n];
        }
      }
    }
  }
  METALFF_UNROLL
  for (int i = 0; i < rows; ++i) {
    METALFF_UNROLL
    for (int n = 0; n < cols; ++n) P::of(C.row(top + i), v + n) = sum[i][n];
  }
}

/// M rows from `top` on, so many at a time.
template <class P, int cols, class MatrixA, class MatrixC, typename T = typename P::T>
METALFF_INLINE void gemm_panel(int top, int M, int v, int K, const MatrixA &A, const T *B, int ldb, const MatrixC &C, bool add)
{
  constexpr int rows = 6;
  int i = 0;
  for (; i + rows <= M; i += rows) gemm_block<P, rows, cols>(top + i, v, K, A, B, ldb, C, add);
  switch (M - i) {
    case 5: return gemm_block<P, 5, cols>(top + i, v, K, A, B, ldb, C, add);
    case 4: return gemm_block<P, 4, cols>(top + i, v, K, A, B, ldb, C, add);
    case 3: return gemm_block<P, 3, cols>(top + i, v, K, A, B, ldb, C, add);
    case 2: return gemm_block<P, 2, cols>(top + i, v, K, A, B, ldb, C, add);
    case 1: return gemm_block<P, 1, cols>(top + i, v, K, A, B, ldb, C, add);
  }
}

/// All N columns, N in whole registers; most: registers of columns at a time.
template <class P, int most, class MatrixA, class MatrixC, typename T = typename P::T>
METALFF_INLINE void gemm_rows(int top, int M, int N, int K, const MatrixA &A, const T *B, int ldb, const MatrixC &C, bool add)
{
  const int registers = N / P::width;
  int v = 0;
  for (; v + most <= registers; v += most) gemm_panel<P, most>(top, M, v, K, A, B, ldb, C, add);
  if constexpr (most > 2)
    if (v + 2 <= registers) gemm_panel<P, 2>(top, M, v, K, A, B, ldb, C, add), v += 2;
  for (; v < registers; ++v) gemm_panel<P, 1>(top, M, v, K, A, B, ldb, C, add);
}

}    // namespace metalff
