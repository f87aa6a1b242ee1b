// The functions of the CUDA driver that Kokkos calls, looked up when they are called: so mlff_native_cuda.so does not need libcuda.so.1 to be
// loaded, and is linked where there is none.
#include <cuda.h>
#include <dlfcn.h>

namespace {

template <typename Function> Function *driver(const char *name)
{
  static void *const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return library ? reinterpret_cast<Function *>(dlsym(library, name)) : nullptr;
}

}    // namespace

#define METALFF_NAME(name) METALFF_WORD(name)
#define METALFF_WORD(name) #name
#define METALFF_FORWARD(name, parameters, arguments)                                                     \
  extern "C" CUresult CUDAAPI name parameters                                                            \
  {                                                                                                      \
    static const auto call = driver<decltype(name)>(METALFF_NAME(name)); /* as cuda.h versions the name */ \
    return call ? call arguments : CUDA_ERROR_NOT_INITIALIZED;                                           \
  }

METALFF_FORWARD(cuInit, (unsigned flags), (flags))
METALFF_FORWARD(cuCtxGetDevice, (CUdevice * device), (device))
METALFF_FORWARD(cuCtxPushCurrent, (CUcontext context), (context))
METALFF_FORWARD(cuCtxPopCurrent, (CUcontext * context), (context))
METALFF_FORWARD(cuStreamGetCtx, (CUstream stream, CUcontext *context), (stream, context))
