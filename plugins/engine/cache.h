// The user's cache: programs compiled for this machine, and which self-tests passed on it.
#pragma once

#include <filesystem>

namespace metalff {

/// $METALFF_CACHE, else $XDG_CACHE_HOME/metalff, else ~/.cache/metalff. Throws Error where none is set.
std::filesystem::path cache_dir();

/// Whether there is such a file or folder in the cache, and it may be believed (as by ssh): it and the folders that lead to it from
/// cache_dir() on belong to this user, to root or to a user of $METALFF_TRUST (names, with commas between), nobody else may write to
/// them, and none below cache_dir() is a link. Throws Error, with what to do, where one is there and may not be believed or read.
bool in_cache(const std::filesystem::path &path);

}    // namespace metalff
