// Kernels of native/ over the items of a device.
#pragma once

#include "engine/native/lanes.h"

#ifdef METALFF_LANES_OF_THREADS
#include "lanes_of_threads.h"
#endif

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <string>

namespace metalff {

/// The lanes of a kernel on Space: threads of a warp on a GPU, one on a host.
#if defined(METALFF_LANES_OF_THREADS)    // of tests: so many threads of a host
template <class Space, typename T, int W = 32> using LanesOn = LanesOfThreads<T, METALFF_LANES_OF_THREADS>;
#elif defined(KOKKOS_ENABLE_CUDA) || defined(KOKKOS_ENABLE_HIP)
template <class Space, typename T, int W = 32>
using LanesOn = std::conditional_t<Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible, Scalar<T>, Warp<T, W>>;
#else
template <class Space, typename T, int W = 32> using LanesOn = Scalar<T>;
#endif

/// Calls body(item, scratch) for every item below count, each with all lanes of P and `bytes` of fast memory.
/// \param most  items that share one multiprocessor's block
template <class Space, class P, class Body>
void over(const std::string &name, int count, std::size_t bytes, const Body &body, int most = 8)
{
  using Execution = typename Space::execution_space;
  using Policy = Kokkos::TeamPolicy<Execution>;
  if (count == 0) return;
#ifdef METALFF_LANES_OF_THREADS
  std::vector<double> memory(bytes / sizeof(double) + 4);
  for (int item = 0; item < count; ++item)
    on_lanes<P::width>([&] { body(item, reinterpret_cast<std::byte *>((reinterpret_cast<std::uintptr_t>(memory.data()) + 15) / 16 * 16)); });
  return;
#endif
  int team = 1;
  if constexpr (P::width > 1)
    while (2 * team <= most && 2 * team * bytes <= 100 * 1024) team *= 2;
  Policy policy((count + team - 1) / team, team, P::width);
  bytes = (bytes + 15) / 16 * 16;
  if (bytes > 0) policy.set_scratch_size(0, Kokkos::PerThread(int(bytes) + 16));    // and what aligning it takes
  Kokkos::parallel_for(
      name, policy, KOKKOS_LAMBDA(const typename Policy::member_type &member) {
        const int item = member.league_rank() * team + member.team_rank();
        if (item >= count) return;
        std::byte *scratch = nullptr;
        if (bytes > 0) scratch = static_cast<std::byte *>(member.thread_scratch(0).get_shmem_aligned(bytes, 16));
        body(item, scratch);
      });
}

}    // namespace metalff
