#include "model.h"

#include "error.h"
#include "native/instruction_sets.h"
#include "trainer.h"

#ifdef METALFF_TORCH
#include "compiled.h"

#include <torch/headeronly/version.h>
#endif

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

#ifdef METALFF_TORCH
using TorchLoader = Model *(*) (const Artifact &, const std::string &, const Options &);

/// Opens mlff_torch.so, and libtorch with it, on first use: a run without a torch program never loads torch.
TorchLoader torch_loader()
{
  // DEEPBIND: liblammps exports a plain dgemm_ that would otherwise take the place of torch's own, which is far faster
  void *library = dlopen(companion("mlff_torch.so").c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (!library)
    throw Error(std::string("the torch engine cannot be loaded (") + dlerror() + "): is torch " TORCH_VERSION
                " installed? Run 'metalff doctor'");
  return reinterpret_cast<TorchLoader>(dlsym(library, "metalff_load_torch_model"));
}
#endif

}    // namespace

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
  if (options.engine == Engine::NATIVE && options.device != "cpu")
    throw Error("the native engine runs on the cpu, not on " + options.device + ": use 'engine torch'");
  if (programs.empty() && options.engine != Engine::TORCH && covered && options.device == "cpu") {
    const auto load = reinterpret_cast<NativeLoader>(native_function(family->loader));
    try {
      return std::unique_ptr<Model>(load(artifact.read(family->payload), options));
    } catch (const Error &e) {
      throw Error("'" + artifact.path + "': " + e.what());
    }
  }
  if (covered && std::none_of(artifact.payloads.begin(), artifact.payloads.end(), [](const auto &p) { return p.first.starts_with("torch/"); }))
    throw Error("'" + artifact.path + "' has no torch program, so it runs on the native engine and on the cpu alone: leave out 'engine' "
                "and 'device'");
#ifdef METALFF_TORCH
  static const TorchLoader load = torch_loader();
  return std::unique_ptr<Model>(
      load(artifact, programs.empty() ? compiled_programs(artifact, options) : programs, options));
#else
  throw Error("'" + artifact.path + "' needs the torch engine, which this build of MetalFF lacks: build it with -DMLFF_TORCH=ON");
#endif
}

}    // namespace metalff
