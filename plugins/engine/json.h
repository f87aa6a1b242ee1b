// nlohmann::json, from the system or as LAMMPS brings it along (there under a namespace of its own).
#pragma once

#if defined(METALFF_JSON_FROM_LAMMPS) && !defined(LMP_JSON_H)
#define LMP_JSON_H    // a newer LAMMPS wants its own header to be the only one that includes it
#endif
#include <nlohmann/json.hpp>

namespace metalff {

#ifdef METALFF_JSON_FROM_LAMMPS
using Json = nlohmann_lmp::json;
#else
using Json = nlohmann::json;
#endif

}    // namespace metalff
