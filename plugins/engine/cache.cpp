#include "cache.h"

#include "error.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

namespace fs = std::filesystem;

namespace metalff {
namespace {

std::string name_of(uid_t user)
{
  const passwd *entry = getpwuid(user);
  return entry ? entry->pw_name : std::to_string(user);
}

bool trusted(uid_t user)
{
  if (user == geteuid() || user == 0) return true;
  const char *names = std::getenv("METALFF_TRUST");
  std::istringstream stream(names ? names : "");
  for (std::string name; std::getline(stream, name, ',');)
    if (name == name_of(user)) return true;
  return false;
}

/// False: it is not there.
bool believed(const fs::path &path, bool link_allowed)
{
  const std::string elsewhere = ", or set METALFF_CACHE to a folder of your own";
  struct stat found;
  if ((link_allowed ? stat(path.c_str(), &found) : lstat(path.c_str(), &found)) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    throw Error("the cache of MetalFF cannot be read at '" + path.string() + "' (" + std::strerror(errno) +
                "): ask its owner for chmod -R go+rX" + elsewhere);
  }
  if (S_ISLNK(found.st_mode)) throw Error("'" + path.string() + "' in the cache of MetalFF is a link, which is not followed: delete it");
  if (!trusted(found.st_uid))
    throw Error("'" + path.string() + "' belongs to the user " + name_of(found.st_uid) + ", and what the cache holds is run: set METALFF_TRUST=" +
                name_of(found.st_uid) + " if you trust that user" + elsewhere);
  if (found.st_mode & (S_IWGRP | S_IWOTH))
    throw Error("'" + path.string() + "' may be written by others, and what the cache holds is run: chmod go-w '" + path.string() + "'" +
                elsewhere);
  if (access(path.c_str(), S_ISDIR(found.st_mode) ? R_OK | X_OK : R_OK) != 0)
    throw Error("'" + path.string() + "' may not be read by you: ask " + name_of(found.st_uid) + " for chmod -R go+rX" + elsewhere);
  return true;
}

}    // namespace

fs::path cache_dir()
{
  if (const char *dir = std::getenv("METALFF_CACHE")) return dir;
  const char *xdg = std::getenv("XDG_CACHE_HOME");
  if (xdg && *xdg) return fs::path(xdg) / "metalff";
  const char *home = std::getenv("HOME");
  if (!home) throw Error("neither METALFF_CACHE nor HOME is set: set METALFF_CACHE to a directory for compiled models");
  return fs::path(home) / ".cache" / "metalff";
}

bool in_cache(const fs::path &path)
{
  fs::path here = cache_dir();
  if (!believed(here, true)) return false;
  for (const auto &part : path.lexically_relative(here)) {
    here /= part;
    if (!believed(here, false)) return false;
  }
  return true;
}

}    // namespace metalff
