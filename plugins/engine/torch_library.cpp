#include "torch_library.h"

#include "compiled.h"
#include "error.h"

#include <dlfcn.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace metalff {
namespace {

template <typename Pointer> void find(void *library, const char *name, Pointer &function)
{
  function = reinterpret_cast<Pointer>(dlsym(library, name));
  if (!function)
    throw Error("torch " + Torch::installed().version + " lacks the function " + name + ": install another version of torch");
}

void check(int32_t failed, const char *what)
{
  if (failed) throw Error(std::string("torch failed to ") + what + " (its own words are above): is there memory left?");
}

std::vector<int64_t> row_major(int axes, const int64_t *sizes)
{
  std::vector<int64_t> strides(axes, 1);
  for (int axis = axes - 2; axis >= 0; --axis) strides[axis] = strides[axis + 1] * std::max<int64_t>(1, sizes[axis + 1]);
  return strides;
}

}    // namespace

const Torch &Torch::installed()
{
  static const Torch found = [] {
    const std::string script = "from importlib.metadata import version; from importlib.util import find_spec; "
                               "torch = find_spec('torch'); print(*([torch.submodule_search_locations[0], version('torch')] if torch else []), sep='\\n')";
    const std::string said = python_says(script);
    const auto line = said.find('\n');
    if (line == std::string::npos || line == 0)
      throw Error("this model runs on the torch engine, and the Python of MetalFF has no torch: pip install 'metalff[torch]', or "
                  "'torch' by itself");
    const auto end = said.find('\n', line + 1);
    return Torch{said.substr(0, line), said.substr(line + 1, end - line - 1)};
  }();
  return found;
}

const TorchLibrary &TorchLibrary::open(bool cuda)
{
  static const TorchLibrary cpu(false);
  if (!cuda) return cpu;
  static const TorchLibrary gpu(true);
  return gpu;
}

TorchLibrary::TorchLibrary(bool cuda)
{
  const std::string file = Torch::installed().folder + "/lib/libtorch" + (cuda ? ".so" : "_cpu.so");
  // DEEPBIND: liblammps exports a plain dgemm_ that would otherwise take the place of torch's own, which is far faster
  void *library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (!library) throw Error(std::string("the torch engine cannot be loaded (") + dlerror() + "): run 'metalff doctor'");
  find(library, "aoti_torch_delete_tensor_object", delete_);
  find(library, "aoti_torch_create_tensor_from_blob", from_blob_);
  find(library, "aoti_torch_empty_strided", empty_);
  find(library, "aoti_torch_copy_", copy_);
  find(library, "aoti_torch_get_data_ptr", data_);
  find(library, "aoti_torch_get_dim", dim_);
  find(library, "aoti_torch_get_sizes", sizes_);
  find(library, "aoti_torch_get_strides", strides_);
  find(library, "aoti_torch_get_dtype", dtype_);
  find(library, "aoti_torch_dtype_float32", float32_);
  find(library, "aoti_torch_dtype_float64", float64_);
  find(library, "aoti_torch_dtype_int64", int64_);
  find(library, "aoti_torch_device_type_cpu", cpu_);
  find(library, "aoti_torch_device_type_cuda", gpu_);
  find(library, "_ZN2at15set_num_threadsEi", set_threads_);    // at::set_num_threads(int), which has no C function
}

TorchLibrary::Tensor TorchLibrary::wrap(void *data, const std::vector<int64_t> &sizes, Type type, int cuda) const
{
  const auto strides = row_major(int(sizes.size()), sizes.data());
  void *handle = nullptr;
  check(from_blob_(data, int64_t(sizes.size()), sizes.data(), strides.data(), 0, code(type), cpu_(), 0, &handle), "take an array");
  Tensor host(this, handle);
  if (cuda < 0) return host;
  Tensor device = empty(int(sizes.size()), sizes.data(), code(type), cuda);
  check(copy_(device.get(), host.get(), 0), "copy an array to the device");
  return device;
}

TorchLibrary::Tensor TorchLibrary::empty(int axes, const int64_t *sizes, int32_t type, int cuda) const
{
  const auto strides = row_major(axes, sizes);
  void *handle = nullptr;
  check(empty_(axes, sizes, strides.data(), type, cuda < 0 ? cpu_() : gpu_(), std::max(0, cuda), &handle), "make an array");
  return Tensor(this, handle);
}

int64_t TorchLibrary::size(const Tensor &tensor, int axis) const
{
  int64_t dim = 0, *sizes = nullptr;
  check(dim_(tensor.get(), &dim) || sizes_(tensor.get(), &sizes), "tell the size of an array");
  if (axis >= dim) throw Error("a program gives arrays of other shapes than the contract asks for: deploy the model again");
  return sizes[axis];
}

TorchLibrary::Tensor TorchLibrary::on_host(Tensor tensor, int cuda) const
{
  int64_t dim = 0, *sizes = nullptr, *strides = nullptr;
  int32_t type = 0;
  check(dim_(tensor.get(), &dim) || sizes_(tensor.get(), &sizes) || strides_(tensor.get(), &strides) || dtype_(tensor.get(), &type),
        "describe an array");
  if (cuda < 0 && row_major(int(dim), sizes) == std::vector<int64_t>(strides, strides + dim)) return tensor;
  Tensor host = empty(int(dim), sizes, type, -1);
  check(copy_(host.get(), tensor.get(), 0), "copy an array to the host");
  return host;
}

void *TorchLibrary::data(const Tensor &tensor) const
{
  void *data = nullptr;
  check(data_(tensor.get(), &data), "give an array");
  return data;
}

bool TorchLibrary::holds(const Tensor &tensor, std::size_t count, Type type) const
{
  int64_t dim = 0, *sizes = nullptr;
  int32_t found = 0;
  check(dim_(tensor.get(), &dim) || sizes_(tensor.get(), &sizes) || dtype_(tensor.get(), &found), "describe an array");
  return found == code(type) && std::accumulate(sizes, sizes + dim, int64_t(1), std::multiplies<>()) == int64_t(count);
}

TorchProgram::TorchProgram(const TorchLibrary &library, const std::string &file, const std::string &device) : library_(library), file_(file)
{
  void *code = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!code) throw Error("the compiled program " + file + " cannot be loaded (" + dlerror() + "): delete its folder, and it is compiled again");
  int32_t (*create)(void **, std::size_t, const char *, const char *);
  int32_t (*count)(void *, std::size_t *);
  find(code, "AOTInductorModelContainerCreateWithDevice", create);
  find(code, "AOTInductorModelContainerGetNumOutputs", count);
  find(code, "AOTInductorModelContainerRun", run_);
  find(code, "AOTInductorModelContainerDelete", delete_);
  if (create(&container_, 1, device.c_str(), nullptr) || count(container_, &outputs_))
    throw Error("torch " + Torch::installed().version + " does not take the compiled program " + file +
                " (its own words are above): delete its folder, and it is compiled again");
}

TorchProgram::~TorchProgram()
{
  if (container_) delete_(container_);
}

std::vector<TorchLibrary::Tensor> TorchProgram::run(std::vector<TorchLibrary::Tensor> inputs)
{
  std::vector<void *> given, taken(outputs_, nullptr);
  for (auto &input : inputs) given.push_back(input.release());    // the program owns them from here on
  const int32_t failed = run_(container_, given.data(), given.size(), taken.data(), taken.size(), nullptr, nullptr);
  std::vector<TorchLibrary::Tensor> outputs;
  for (void *handle : taken) outputs.emplace_back(&library_, handle);
  check(failed, "evaluate the model");
  return outputs;
}

}    // namespace metalff
