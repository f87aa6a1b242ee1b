// Registers pair_style mlff with an unpatched LAMMPS, and refuses clearly one that it was not built for. Has no symbol of LAMMPS, so that it loads
// into any; the style is in mlff_lammps.so beside it, which is opened when an input first asks for it.
#include "version_guard.h"

namespace {

using Create = void *(void *);

void *create_pair(void *lmp)
{
  static Create *create = nullptr;
  if (!create) {
    std::string failure =
        metalff::find_mismatch(lmp, "reinstall MetalFF in this environment, or build it with cmake -DLAMMPS_DIR for this LAMMPS");
    if (failure.empty()) create = metalff::open_styles<Create>("mlff_lammps.so", "metalff_create_mlff", failure);
    if (!failure.empty()) metalff::end_command(lmp, failure);
  }
  return create(lmp);
}

}    // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  const std::string version = metalff::version_text(metalff::version_of(lmp));

  lammpsplugin_t plugin{};
  plugin.version = version.c_str();
  plugin.style = "pair";
  plugin.name = "mlff";
  plugin.info = "machine-learned force fields for metals, MetalFF " METALFF_VERSION;
  plugin.author = "MetalFF developers";
  plugin.creator = create_pair;
  plugin.handle = handle;
  reinterpret_cast<lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
}
