#include "model.h"

#include "compiled.h"
#include "error.h"

#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include <filesystem>

namespace fs = std::filesystem;

namespace metalff {
namespace {

using Loader = Model *(*) (const Artifact &, const std::string &, const Options &);

/// Opens mlff_torch.so, and libtorch with it, on first use: a run without a model never loads torch.
Loader torch_loader()
{
  Dl_info self;
  dladdr(reinterpret_cast<void *>(&torch_loader), &self);
  const fs::path here = fs::absolute(self.dli_fname).parent_path();
  fs::path file = here / "mlff_torch.so";
  if (!fs::exists(file)) file = here / "lib" / "mlff_torch.so";
  // DEEPBIND: liblammps exports a plain dgemm_ that would otherwise take the place of torch's own, which is far faster
  void *library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (!library)
    throw Error(std::string("the torch engine cannot be loaded (") + dlerror() + "): is torch " TORCH_VERSION
                " installed? Run 'metalff doctor'");
  return reinterpret_cast<Loader>(dlsym(library, "metalff_load_torch_model"));
}

}    // namespace

std::unique_ptr<Model> open_model(const Artifact &artifact, const Options &options, const std::string &programs)
{
  static const Loader load = torch_loader();
  return std::unique_ptr<Model>(
      load(artifact, programs.empty() ? compiled_programs(artifact, options) : programs, options));
}

}    // namespace metalff
