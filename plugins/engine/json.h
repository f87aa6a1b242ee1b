// nlohmann::json, from the system or as LAMMPS brings it along (there under a namespace of its own).
#pragma once

#include <nlohmann/json.hpp>

namespace metalff {

#ifdef METALFF_JSON_FROM_LAMMPS
using Json = nlohmann_lmp::json;
#else
using Json = nlohmann::json;
#endif

}    // namespace metalff
