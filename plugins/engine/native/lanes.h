// How a kernel is spread over lanes. The kernels of native/ are written once, for a policy P:
//
//   Simd<T>      (simd.h) the lanes of one register; all of them run in one thread
//   Scalar<T>    one lane: what runs device kernels on a host
//   Warp<T, W>   W threads of a GPU side by side, each of which runs the kernel and holds one lane
//
// P::V is one number per lane, P::T one number that all lanes share. A row of numbers is stored as `width` lanes after each other.
// What a lane stored, and another reads, has P::sync() between; what is to be done once is shared out by P::each or done in P::once.
#pragma once

#include <cstddef>

#if defined(__CUDACC__) || defined(__HIPCC__)
#define METALFF_FUNCTION __host__ __device__
#else
#define METALFF_FUNCTION
#endif

#if defined(__CUDA_ARCH__) || defined(__HIP_DEVICE_COMPILE__)
#define METALFF_ON_DEVICE 1
#endif

#ifdef __GNUC__
#define METALFF_INLINE METALFF_FUNCTION inline __attribute__((always_inline))
#else
#define METALFF_INLINE METALFF_FUNCTION inline
#endif

// a function of its own on a processor, where one body in another costs registers
#if defined(__CUDACC__) || defined(__HIPCC__)
#define METALFF_APART METALFF_FUNCTION inline
#else
#define METALFF_APART __attribute__((noinline))
#endif

// UNROLL: on a device, where registers cannot be indexed; UNROLLED: everywhere; ROLLED: nowhere
#ifdef METALFF_ON_DEVICE
#define METALFF_UNROLL _Pragma("unroll")
#define METALFF_UNROLLED _Pragma("unroll")
#define METALFF_ROLLED _Pragma("unroll 1")
#elif defined(__CUDACC__) || defined(__HIPCC__)
#define METALFF_UNROLL
#define METALFF_UNROLLED
#define METALFF_ROLLED
#else
#define METALFF_UNROLL
#define METALFF_UNROLLED _Pragma("GCC unroll 16")
#define METALFF_ROLLED _Pragma("GCC unroll 1")
#endif

namespace metalff {

/// One lane.
template <typename Real> struct Scalar {
  using T = Real;
  using V = Real;
  static constexpr int width = 1;
  static constexpr int pack = 1;    // numbers that one lane fetches at once
  template <typename Other> using With = Scalar<Other>;

  METALFF_INLINE static int lane() { return 0; }
  METALFF_INLINE static V &of(T *row, int v) { return row[v]; }
  METALFF_INLINE static const V &of(const T *row, int v) { return row[v]; }
  METALFF_INLINE static V all(T x) { return x; }
  METALFF_INLINE static V select(bool condition, V x, V y) { return condition ? x : y; }
  /// act(k) for every k below n; the lanes share them out.
  template <typename Act> METALFF_INLINE static void each(int n, Act &&act)
  {
    for (int k = 0; k < n; ++k) act(k);
  }
  /// act(lane) for every lane, each by itself: what get and set are for.
  template <typename Act> METALFF_INLINE static void lanes(Act &&act) { act(0); }
  METALFF_INLINE static T get(V x, int) { return x; }
  METALFF_INLINE static void set(V &x, int, T value) { x = value; }
  template <typename Act> METALFF_INLINE static void once(Act &&act) { act(); }
  METALFF_INLINE static void sync() {}
  /// Over lanes; all know it.
  METALFF_INLINE static T sum(V x) { return x; }
  /// Of what each() added up.
  METALFF_INLINE static T total(T x) { return x; }
  /// Of the lanes whose flag is set: how many come before this one, and how many there are.
  METALFF_INLINE static int rank(bool flag, int &all)
  {
    all = flag;
    return 0;
  }
  /// Lane k of the result: the sum over lanes of x[k]; the first `count` matter.
  METALFF_INLINE static V sums(const V (&x)[width], int) { return x[0]; }
};

#if defined(__CUDACC__) || defined(__HIPCC__)
/// W threads side by side: the x of a block is W. This is the only place with a vendor's names.
template <typename Real, int W> struct Warp {
  using T = Real;
  using V = Real;
  static constexpr int width = W;
  static constexpr int pack = 16 / sizeof(T);
  template <typename Other> using With = Warp<Other, W>;

  METALFF_INLINE static int lane()
  {
#ifdef METALFF_ON_DEVICE
    return threadIdx.x;
#else
    return 0;
#endif
  }
  METALFF_INLINE static V &of(T *row, int v) { return row[v * W + lane()]; }
  METALFF_INLINE static const V &of(const T *row, int v) { return row[v * W + lane()]; }
  METALFF_INLINE static V all(T x) { return x; }
  METALFF_INLINE static V select(bool condition, V x, V y) { return condition ? x : y; }
  template <typename Act> METALFF_INLINE static void each(int n, Act &&act)
  {
    for (int k = lane(); k < n; k += W) act(k);
  }
  template <typename Act> METALFF_INLINE static void lanes(Act &&act) { act(lane()); }
  METALFF_INLINE static T get(V x, int) { return x; }
  METALFF_INLINE static void set(V &x, int, T value) { x = value; }
  template <typename Act> METALFF_INLINE static void once(Act &&act)
  {
    if (lane() == 0) act();
  }
  METALFF_INLINE static void sync()
  {
#if defined(__CUDA_ARCH__)
    __syncwarp(mask());
#elif defined(__HIP_DEVICE_COMPILE__)
    __builtin_amdgcn_fence(__ATOMIC_ACQ_REL, "wavefront");
    __builtin_amdgcn_wave_barrier();
#endif
  }
  METALFF_INLINE static T sum(V x)
  {
    for (int h = W / 2; h > 0; h /= 2) x += exchange(x, h);    // every lane adds the same numbers in the same order up to commutation
    return x;
  }
  METALFF_INLINE static T total(T x) { return sum(x); }
  METALFF_INLINE static int rank(bool flag, int &all)
  {
#if defined(__CUDA_ARCH__)
    const unsigned flags = __ballot_sync(mask(), flag) & mask();
    all = __popc(flags);
    unsigned below;
    asm("mov.u32 %0, %%lanemask_lt;" : "=r"(below));
    return __popc(flags & below);
#elif defined(__HIP_DEVICE_COMPILE__)
    const unsigned long long flags = __ballot(flag), first = (__lane_id() / W) * W;
    const unsigned long long mine = (flags >> first) & (W == 64 ? ~0ull : (1ull << W) - 1ull);
    all = __popcll(mine);
    return __popcll(mine & ((1ull << lane()) - 1ull));
#else
    all = flag;
    return 0;
#endif
  }
  METALFF_INLINE static V sums(const V (&x)[W], int count) { return fold<1, W>(x, count); }

 private:
#if defined(__CUDA_ARCH__)
  METALFF_INLINE static unsigned mask()
  {
    if constexpr (W == 32) {
      return 0xffffffffu;
    } else {
      unsigned at;
      asm("mov.u32 %0, %%laneid;" : "=r"(at));
      return ((1u << W) - 1u) << (at / W * W);
    }
  }
#endif
  METALFF_INLINE static V exchange(V x, int h)
  {
#if defined(__CUDA_ARCH__)
    return __shfl_xor_sync(mask(), x, h, W);
#elif defined(__HIP_DEVICE_COMPILE__)
    return __shfl_xor(x, h, W);
#else
    return h ? x : x;
#endif
  }
  /// Lanes whose bit h is set keep the odd entries, the others the even ones.
  template <int h, int n> METALFF_INLINE static V fold(const V (&x)[n], int count)
  {
    if constexpr (n == 1) {
      return x[0];
    } else {
      const bool odd = lane() & h;
      V y[n / 2];
      METALFF_UNROLL
      for (int k = 0; k < n / 2; ++k) {
        y[k] = 0;
        if (2 * k < count) {
          const V first = x[2 * k], second = 2 * k + 1 < count ? x[2 * k + 1] : V(0);
          y[k] = (odd ? second : first) + exchange(odd ? first : second, h);
        }
      }
      return fold<2 * h, n / 2>(y, (count + 1) / 2);
    }
  }
};
#endif

}    // namespace metalff
