// A policy (engine/native/lanes.h) whose lanes are threads of a host: what a kernel forgets to synchronise shows as a wrong number or, under
// -fsanitize=thread, as a race.
#pragma once

#include "engine/native/lanes.h"

#include <atomic>
#include <barrier>
#include <bit>
#include <cstdint>
#include <thread>
#include <vector>

namespace metalff {

/// What W lanes share. Values go from lane to lane by relaxed atomics, so that, as with shuffles of a device, this orders nothing else:
/// words of 32 bits with the number of the exchange.
template <int W> struct LaneTeam {
  std::barrier<> barrier{W};
  std::atomic<std::uint64_t> words[2][W][2] = {};    // of even and of odd exchanges
};

/// Of a thread.
template <int W> struct LaneOfThread {
  LaneTeam<W> *team = nullptr;
  int lane = 0;
  std::uint32_t exchanges = 0;

  static LaneOfThread &mine()
  {
    thread_local LaneOfThread lane;
    return lane;
  }
};

/// Runs body() on W threads that are lanes of each other.
template <int W, class Body> void on_lanes(const Body &body)
{
  LaneTeam<W> team;
  std::vector<std::jthread> threads;
  for (int lane = 0; lane < W; ++lane)
    threads.emplace_back([&, lane] {
      LaneOfThread<W>::mine() = {&team, lane};
      body();
    });
}

/// \tparam W a power of two
template <typename Real, int W> struct LanesOfThreads {
  using T = Real;
  using V = Real;
  static constexpr int width = W;
  static constexpr int pack = 16 / sizeof(T);
  template <typename Other> using With = LanesOfThreads<Other, W>;

  static int lane() { return LaneOfThread<W>::mine().lane; }
  static V &of(T *row, int v) { return row[v * W + lane()]; }
  static const V &of(const T *row, int v) { return row[v * W + lane()]; }
  static V all(T x) { return x; }
  static V select(bool condition, V x, V y) { return condition ? x : y; }
  template <typename Act> static void each(int n, Act &&act)
  {
    for (int k = lane(); k < n; k += W) act(k);
  }
  template <typename Act> static void lanes(Act &&act) { act(lane()); }
  static T get(V x, int) { return x; }
  static void set(V &x, int, T value) { x = value; }
  template <typename Act> static void once(Act &&act)
  {
    if (lane() == 0) act();
  }
  static void sync() { LaneOfThread<W>::mine().team->barrier.arrive_and_wait(); }
  static T sum(V x)
  {
    double all[W], total = 0.0;
    exchange(double(x), all);
    for (double one : all) total += one;
    return T(total);
  }
  static T total(T x) { return sum(x); }
  static int rank(bool flag, int &all)
  {
    double flags[W];
    exchange(flag, flags);
    int before = 0;
    all = 0;
    for (int k = 0; k < W; ++k) {
      if (k == lane()) before = all;
      all += flags[k] != 0.0;
    }
    return before;
  }
  static V sums(const V (&x)[W], int count)
  {
    V mine = 0;
    for (int k = 0; k < W; ++k) {
      const T one = sum(k < count ? x[k] : V(0));
      if (k == lane()) mine = one;
    }
    return mine;
  }

 private:
  /// What every lane has of x.
  static void exchange(double x, double (&all)[W])
  {
    auto &mine = LaneOfThread<W>::mine();
    const std::uint64_t bits = std::bit_cast<std::uint64_t>(x), tag = ++mine.exchanges;
    auto &words = mine.team->words[tag % 2];
    for (int k = 0; k < 2; ++k) words[mine.lane][k].store(tag << 32 | (bits >> 32 * k & 0xffffffffu), std::memory_order_relaxed);
    for (int lane = 0; lane < W; ++lane) {
      std::uint64_t got = 0;
      for (int k = 0; k < 2; ++k) {
        std::uint64_t word;
        while ((word = words[lane][k].load(std::memory_order_relaxed)) >> 32 != tag) std::this_thread::yield();
        got |= (word & 0xffffffffu) << 32 * k;
      }
      all[lane] = std::bit_cast<double>(got);
    }
  }
};

}    // namespace metalff
