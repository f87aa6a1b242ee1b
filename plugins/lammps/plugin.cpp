// Registers pair_style mlff with an unpatched LAMMPS, and refuses clearly one that it was not built for.
#include "pair_mlff.h"

#include "version_guard.h"

namespace {

std::string mismatch;    // why this LAMMPS cannot use the plugin; empty when it can

void *create_pair(void *lmp)
{
  // only the C library interface may be touched where the C++ classes differ
  if (!mismatch.empty()) lammps_error(lmp, 2, mismatch.c_str());
  return new LAMMPS_NS::PairMLFF(static_cast<LAMMPS_NS::LAMMPS *>(lmp));
}

}    // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  const int found = lammps_version(lmp);
  mismatch = metalff::find_mismatch(found, "reinstall MetalFF in this environment, or build it with cmake -DLAMMPS_DIR for this LAMMPS");
  const std::string version = metalff::version_text(found);

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
