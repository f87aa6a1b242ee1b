// nlohmann::json, from the system or as LAMMPS brings it along (there under a namespace of its own).
#pragma once

#if defined(METALFF_JSON_FROM_LAMMPS) && !defined(LMP_JSON_H)
#define LMP_JSON_H    // a newer LAMMPS wants its own header to be the only one that includes it
#endif
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>

namespace metalff {

#ifdef METALFF_JSON_FROM_LAMMPS
using Json = nlohmann_lmp::json;
#else
using Json = nlohmann::json;
#endif

/// A document of at most 100 levels; of kind "discarded" where the text is none. Its numbers are finite, and its depth is bounded before
/// anything that copies or prints it goes down into it.
inline Json parse_json(std::string_view text)
{
  int depth = 0, most = 0;
  bool quoted = false;
  for (std::size_t k = 0; k < text.size(); ++k) {
    const char c = text[k];
    if (quoted && c == '\\') ++k;
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '[' || c == '{') most = std::max(most, ++depth);
    if (c == ']' || c == '}') --depth;
  }
  if (most > 100) return Json(Json::value_t::discarded);
  return Json::parse(text.begin(), text.end(), nullptr, false);
}

}    // namespace metalff
