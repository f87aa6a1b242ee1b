#include "model.h"

#include "compiled.h"
#include "error.h"
#include "native/instruction_sets.h"
#include "torch_model.h"
#include "trainer.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <set>

namespace fs = std::filesystem;

namespace metalff {
namespace {

/// A library beside this one, or in lib/ below it.
fs::path companion(const std::string &name)
{
  Dl_info self;
  dladdr(reinterpret_cast<void *>(&companion), &self);
  const fs::path here = fs::absolute(self.dli_fname).parent_path();
  return fs::exists(here / name) ? here / name : here / "lib" / name;
}

using NativeLoader = Model *(*) (const std::string &, const Options &);

/// What the native engine evaluates: a payload, and the function that opens it.
constexpr struct {
  const char *payload, *loader;
} native_families[] = {{"native/mace.safetensors", "metalff_load_native_mace"}, {"native/nep.txt", "metalff_load_native_nep"}};

/// From the native engine as compiled for the best instruction set that this processor has.
void *native_function(const char *name)
{
  const fs::path file = companion(std::string("mlff_native_") + native::instruction_set() + ".so");
  void *library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Error(std::string("the native engine cannot be loaded (") + dlerror() + "): install MetalFF again");
  return dlsym(library, name);
}

/// From the native engine as compiled for a device: mlff_native_cuda.so, or mlff_native_kokkos.so.
template <typename Function> Function *device_function(const std::string &device, const char *name)
{
  const std::string file = "mlff_native_" + device.substr(0, device.find(':')) + ".so";
  if (!fs::exists(companion(file)))
    throw Error("this build of MetalFF has no native engine for 'device " + device + "' (" + file + "): build it with " +
                (device == "kokkos" ? "-DMLFF_DEVICE_BACKEND=openmp" : "-DMLFF_CUDA=ON") + " -DKokkos_SOURCE=…, see docs/pair_mlff.md");
  void *library = dlopen(companion(file).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Error(std::string("the native engine for 'device ") + device + "' cannot be loaded (" + dlerror() + "): build MetalFF again");
  if (void *function = dlsym(library, name)) return reinterpret_cast<Function *>(function);
  throw Error(file + " is of another version of MetalFF: build it again");
}

}    // namespace

std::string describe_device(const std::string &device)
{
  std::string words;
  device_function<void(const std::string &, std::string &)>(device, "metalff_describe_device")(device, words);
  return words;
}

std::unique_ptr<Trainer> open_trainer(const std::string &family, const std::string &payload)
{
  using Loader = Trainer *(*) (const std::string &);
  if (family != "nep" && family != "mace") throw Error("the native engine trains nep and mace, not " + family);
  const auto load = reinterpret_cast<Loader>(native_function(("metalff_train_native_" + family).c_str()));
  if (!load) throw Error("the native engine is of another version of MetalFF: install MetalFF again");
  return std::unique_ptr<Trainer>(load(payload));
}

std::unique_ptr<Model> open_model(const Artifact &artifact, const Options &options, const std::string &programs)
{
  using Engine = Options::Engine;
  const auto family = std::find_if(std::begin(native_families), std::end(native_families),
                                   [&](const auto &f) { return artifact.payloads.count(f.payload) > 0; });
  const bool covered = family != std::end(native_families);
  if (options.engine == Engine::NATIVE && !covered)
    throw Error("'" + artifact.path + "' has no payload for the native engine: use 'engine torch', or deploy the model again if "
                "its family is MACE");
  if (programs.empty() && options.engine != Engine::TORCH && covered && options.device == "cpu") {
    const auto load = reinterpret_cast<NativeLoader>(native_function(family->loader));
    try {
      return std::unique_ptr<Model>(load(artifact.read(family->payload), options));
    } catch (const Error &e) {
      throw Error("'" + artifact.path + "': " + e.what());
    }
  }
  const bool has_program =
      std::any_of(artifact.payloads.begin(), artifact.payloads.end(), [](const auto &p) { return p.first.starts_with("torch/"); });
  if (programs.empty() && options.engine != Engine::TORCH && covered) {
    // without that library a torch program, if there is one, runs on a GPU, too
    const bool instead = options.engine == Engine::AUTO && has_program && options.device.starts_with("cuda");
    if (!instead || fs::exists(companion("mlff_native_cuda.so")))
      return std::unique_ptr<Model>(
          device_function<Model *(const Artifact &, const Options &)>(options.device, "metalff_load_device_model")(artifact, options));
  }
  if (options.device == "kokkos")
    throw Error("'" + artifact.path + "' runs on the torch engine, which knows no 'device kokkos': use 'device cpu'");
  if (covered && !has_program)
    throw Error("'" + artifact.path + "' has no torch program, so it runs on the native engine alone: leave out 'engine'");
  return load_torch_model(artifact, programs.empty() ? compiled_programs(artifact, options) : programs, options);
}

}    // namespace metalff
