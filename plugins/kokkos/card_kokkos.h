// A graphics card before Kokkos is started on it: whether it is there, and whether this library runs on it. Names the runtime of a vendor, as
// device_memory_kokkos.h does.
#pragma once

#include "engine/error.h"

#include <Kokkos_Core.hpp>

#include <string>

#ifdef KOKKOS_ENABLE_CUDA
#include <dlfcn.h>
#endif

namespace metalff {

#ifdef KOKKOS_ENABLE_CUDA
inline std::string cuda_version(int version)
{
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Card number N in words. Throws Error in CUDA's own words where there is none that kernels of compute capability `compute` (90: 9.0) run on.
inline std::string describe_card(int number, int compute)
{
  const std::string wanted = "cuda:" + std::to_string(number);
  if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL))
    throw Error("there is no GPU for 'device " + wanted + "': this machine has no driver of NVIDIA (" + dlerror() + "), use 'device cpu'");
  int count = 0, driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver)
    throw Error("the driver of the GPU is too old for 'device " + wanted + "' (CUDA says: " + cudaGetErrorString(status) + "; driver for CUDA " +
                cuda_version(driver) + ", needed " + cuda_version(runtime) + "): install a newer driver");
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    throw Error("there is no GPU for 'device " + wanted + "' (CUDA says: " + cudaGetErrorString(cudaErrorNoDevice) + "): use 'device cpu'");
  if (status != cudaSuccess)
    throw Error("the GPU of 'device " + wanted + "' cannot be used (CUDA says: " + cudaGetErrorString(status) + ")");
  if (number >= count)
    throw Error("'device " + wanted + "' is too high a number: this machine has " + std::to_string(count) + " GPU(s), counted from cuda:0");
  cudaDeviceProp card;
  if (const cudaError_t failed = cudaGetDeviceProperties(&card, number); failed != cudaSuccess)
    throw Error("the GPU of 'device " + wanted + "' cannot be used (CUDA says: " + cudaGetErrorString(failed) + ")");
  if (10 * card.major + card.minor < compute)
    throw Error("the GPU " + wanted + " (" + card.name + ", compute capability " + std::to_string(card.major) + "." + std::to_string(card.minor) +
                ") is older than this build of MetalFF is for (" + std::to_string(compute / 10) + "." + std::to_string(compute % 10) +
                "): build it with -DKokkos_ARCH_… of that card");
  return std::string(card.name) + ", " + std::to_string(card.totalGlobalMem / 1000000000) + " GB, driver for CUDA " + cuda_version(driver);
}
#endif

}    // namespace metalff
