// What is left of a device's memory. The one place that names the runtime of a vendor.
#pragma once

#include <Kokkos_Core.hpp>

#include <cstddef>
#include <limits>

namespace metalff {

/// Bytes; infinity where nothing tells.
template <class Space> double free_bytes()
{
  [[maybe_unused]] std::size_t left = 0, all = 0;
#if defined(KOKKOS_ENABLE_CUDA)
  if (std::is_same_v<typename Space::execution_space, Kokkos::Cuda> && cudaMemGetInfo(&left, &all) == cudaSuccess) return double(left);
#elif defined(KOKKOS_ENABLE_HIP)
  if (std::is_same_v<typename Space::execution_space, Kokkos::HIP> && hipMemGetInfo(&left, &all) == hipSuccess) return double(left);
#endif
  return std::numeric_limits<double>::infinity();
}

}    // namespace metalff
