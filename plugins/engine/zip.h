// Reads the zip container of an artefact. Members are stored, not deflated, so that they need no library to open.
#pragma once

#include <map>
#include <string>

namespace metalff {

/// All members of the zip file `path` by name. Throws Error when the file is missing, truncated, damaged (CRC-32) or
/// holds compressed members.
std::map<std::string, std::string> read_zip(const std::string &path);

}    // namespace metalff
