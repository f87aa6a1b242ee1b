#include "model.h"

#include "cache.h"
#include "compiled.h"
#include "error.h"
#include "native/instruction_sets.h"
#include "selftest.h"
#include "sha256.h"
#include "torch_model.h"
#include "trainer.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <new>
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

using NativeLoader = Model *(*) (const std::string &, const Artifact &, const Options &);

/// What the native engine evaluates: a payload, and the function that opens it.
struct NativeFamily {
  const char *payload, *loader;
};
constexpr NativeFamily native_families[] = {{"native/mace.safetensors", "metalff_load_native_mace"},
                                            {"native/nep.txt", "metalff_load_native_nep"},
                                            {"native/poly.safetensors", "metalff_load_native_poly"}};

/// Null: it has none.
const NativeFamily *native_family(const Artifact &artifact)
{
  const auto family = std::find_if(std::begin(native_families), std::end(native_families),
                                   [&](const auto &f) { return artifact.payloads.count(f.payload) > 0; });
  return family == std::end(native_families) ? nullptr : family;
}

/// The native engine as compiled for the best instruction set that this processor has.
fs::path native_library() { return companion(std::string("mlff_native_") + native::instruction_set() + ".so"); }

void *native_function(const char *name)
{
  const fs::path file = native_library();
  void *library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Error(std::string("the native engine cannot be loaded (") + dlerror() + "): install MetalFF again");
  return dlsym(library, name);
}

/// On the processor.
std::unique_ptr<Model> open_native(const Artifact &artifact, const NativeFamily &family, const Options &options)
{
  const auto load = reinterpret_cast<NativeLoader>(native_function(family.loader));
  const std::string payload = artifact.read(family.payload);
  try {
    return std::unique_ptr<Model>(load(payload, artifact, options));
  } catch (const Error &e) {
    throw Error("'" + artifact.path + "': " + e.what());
  }
}

/// The entry of the cache that says: this file passed its self-test in this very native engine on a processor like this one.
fs::path proof(const Artifact &artifact)
{
  const fs::path library = native_library();
  std::error_code unknown;
  const auto changed = fs::last_write_time(library, unknown).time_since_epoch().count();
  const std::string text = artifact.sha256 + "|" + library.filename().string() + "|" + std::to_string(fs::file_size(library, unknown)) + "|" +
      std::to_string(changed);
  return cache_dir() / "proved" / sha256(text.data(), text.size()).substr(0, 40);
}

/// Whether that entry is there and may be believed; where the cache may not be used, nothing is remembered.
bool proved(const Artifact &artifact)
{
  try {
    return in_cache(proof(artifact));
  } catch (const Error &) {
    return false;
  }
}

void remember(const Artifact &artifact)
{
  try {
    const fs::path entry = proof(artifact);
    std::error_code refused;
    fs::create_directories(cache_dir().parent_path(), refused);
    for (const fs::path &folder : {cache_dir(), entry.parent_path()}) mkdir(folder.c_str(), 0755);
    if (!in_cache(entry.parent_path())) return;
    const int file = open(entry.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file >= 0) close(file);
  } catch (const Error &) {
  }
}

/// Replays the self-test in the native engine unless that was done before.
void prove(const Artifact &artifact, const NativeFamily &family)
{
  if (proved(artifact)) return;
  Options exact;
  exact.knots = 0;    // whether the file is what its framework had does not depend on splines
  must_pass(artifact, *open_native(artifact, family, exact), false);
  remember(artifact);
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
  if (family != "nep" && family != "mace" && family != "poly") throw Error("the native engine trains nep, mace and poly, not " + family);
  const auto load = reinterpret_cast<Loader>(native_function(("metalff_train_native_" + family).c_str()));
  if (!load) throw Error("the native engine is of another version of MetalFF: install MetalFF again");
  return std::unique_ptr<Trainer>(load(payload));
}

std::unique_ptr<Model> open_model(const Artifact &artifact, const Options &options, const std::string &programs)
{
  try {
    const NativeFamily *family = native_family(artifact);
    if (family && programs.empty() && options.engine != Options::Engine::TORCH) prove(artifact, *family);
    return open_unproved(artifact, options, programs);
  } catch (const std::bad_alloc &) {
    throw Error("'" + artifact.path + "' needs more memory than there is: use a machine with more, or a smaller model");
  }
}

std::unique_ptr<Model> open_unproved(const Artifact &artifact, const Options &options, const std::string &programs)
{
  using Engine = Options::Engine;
  const NativeFamily *family = native_family(artifact);
  const bool covered = family;
  if (options.engine == Engine::NATIVE && !covered)
    throw Error("'" + artifact.path + "' has no payload for the native engine: use 'engine torch', or deploy the model again if "
                "its family is MACE");
  if (programs.empty() && options.engine != Engine::TORCH && covered && options.device == "cpu")
    return open_native(artifact, *family, options);
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
