// Channels, or edges, side by side in the lanes of one register. The kernels are written for a lane type; on a GPU it is one number.
#pragma once

#include "lanes.h"

#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

namespace metalff {

#if defined(__AVX512F__)
constexpr int register_bytes = 64;
#elif defined(__AVX__)
constexpr int register_bytes = 32;
#else
constexpr int register_bytes = 16;
#endif

template <typename T> constexpr int width = register_bytes / int(sizeof(T));

template <typename T> struct LanesOf {
  typedef T type __attribute__((vector_size(register_bytes)));
};
template <typename T> using Lanes = typename LanesOf<T>::type;

/// The v-th register of a row.
template <typename T> inline Lanes<T> &lanes(T *row, int v) { return reinterpret_cast<Lanes<T> *>(row)[v]; }
template <typename T> inline const Lanes<T> &lanes(const T *row, int v) { return reinterpret_cast<const Lanes<T> *>(row)[v]; }

/// n rounded up to whole registers.
template <typename T> constexpr int padded(int n) { return (n + width<T> - 1) / width<T> * width<T>; }

/// Memory aligned to registers; not initialised.
template <typename T> struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <typename U> AlignedAllocator(const AlignedAllocator<U> &) {}
  T *allocate(std::size_t n)
  {
    if (void *p = std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64)) return static_cast<T *>(p);
    throw std::bad_alloc();
  }
  void deallocate(T *p, std::size_t) { std::free(p); }
  template <typename U, typename... Args> void construct(U *p, Args &&...args)
  {
    if constexpr (sizeof...(Args) > 0)
      ::new (static_cast<void *>(p)) U(std::forward<Args>(args)...);
    else
      ::new (static_cast<void *>(p)) U;
  }
  template <typename U> bool operator==(const AlignedAllocator<U> &) const { return true; }
};
template <typename T> using Buffer = std::vector<T, AlignedAllocator<T>>;

/// Grow to at least n entries; old contents are lost.
template <typename T> inline T *room(Buffer<T> &buffer, std::size_t n)
{
  if (buffer.size() < n) {
    Buffer<T>().swap(buffer);
    buffer.resize(n + n / 10);
  }
  return buffer.data();
}

namespace detail {

/// Lane r of the sums of halves of groups of g lanes of x and then of y; half 0 is the lower one.
template <int W, int g> constexpr int half_lane(int r, int half)
{
  const int h = g / 2, groups = W / g, q = r / h, t = r % h;
  return q < groups ? q * g + half * h + t : W + (q - groups) * g + half * h + t;
}

template <typename T, int g, std::size_t... r>
inline Lanes<T> halve(Lanes<T> x, Lanes<T> y, std::index_sequence<r...>)
{
  return __builtin_shufflevector(x, y, half_lane<width<T>, g>(r, 0)...) +
      __builtin_shufflevector(x, y, half_lane<width<T>, g>(r, 1)...);
}

template <typename T, int g, int n> inline Lanes<T> sums(const Lanes<T> *x, int count)
{
  if constexpr (n == 1) {
    return x[0];
  } else {
    Lanes<T> y[n / 2];
    for (int k = 0; k < n / 2; ++k)
      if (2 * k < count) y[k] = halve<T, g>(x[2 * k], x[2 * k + 1], std::make_index_sequence<width<T>>());
    return sums<T, g / 2, n / 2>(y, (count + 1) / 2);
  }
}

}    // namespace detail

/// Lane k of the result is the sum over lanes of x[k]; x has as many entries as a register has lanes, the first `count` matter.
template <typename T> inline Lanes<T> sums_over_lanes(const Lanes<T> (&x)[width<T>], int count)
{
  return detail::sums<T, width<T>, width<T>>(x, count);
}

/// The policy (lanes.h) of one thread and the lanes of its registers.
template <typename Real> struct Simd {
  using T = Real;
  using V = Lanes<T>;
  static constexpr int width = metalff::width<T>;
  static constexpr int pack = 1;
  template <typename Other> using With = Simd<Other>;

  static V &of(T *row, int v) { return metalff::lanes(row, v); }
  static const V &of(const T *row, int v) { return metalff::lanes(row, v); }
  static V all(T x) { return V{} + x; }
  template <typename Act> static void each(int n, Act &&act)
  {
    for (int k = 0; k < n; ++k) act(k);
  }
  template <typename Act> static void lanes(Act &&act)
  {
    for (int lane = 0; lane < width; ++lane) act(lane);
  }
  static T get(const V &x, int lane) { return x[lane]; }
  static void set(V &x, int lane, T value) { x[lane] = value; }
  template <typename Act> static void once(Act &&act) { act(); }
  static void sync() {}
  static T sum(V x)
  {
    T total = 0;
    for (int lane = 0; lane < width; ++lane) total += x[lane];
    return total;
  }
  static T total(T x) { return x; }
  static V sums(const V (&x)[width], int) { return sums_over_lanes<T>(x, width); }
};

}    // namespace metalff
