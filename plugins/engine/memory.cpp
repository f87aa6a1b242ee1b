#include "memory.h"

#include <sys/resource.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace metalff {
namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();

/// The number behind `key` at the start of a line; `otherwise` where there is none.
double entry(const std::string &file, const std::string &key, double otherwise)
{
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream words(line.substr(key.size()));
    double value;
    if (words >> value) return value;
  }
  return otherwise;
}

/// Room in the tightest of the memory limits of control groups above this process (cgroup v2, cgroups(7)).
double room_in_groups()
{
  std::ifstream own("/proc/self/cgroup");
  double room = unlimited;
  for (std::string line; std::getline(own, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::filesystem::path path = line.substr(3);; path = path.parent_path()) {
      const std::string folder = "/sys/fs/cgroup" + path.string() + "/";
      const double limit = entry(folder + "memory.max", "", unlimited);    // "max" is no number
      const double files = entry(folder + "memory.stat", "inactive_file ", 0.0);
      room = std::min(room, limit - entry(folder + "memory.current", "", 0.0) + files);
      if (path == path.root_path() || path.empty()) break;
    }
  }
  return room;
}

}    // namespace

double resident_bytes() { return 1024.0 * entry("/proc/self/status", "VmRSS:", 0.0); }

double peak_bytes() { return 1024.0 * entry("/proc/self/status", "VmHWM:", 0.0); }

bool forget_peak()
{
  std::ofstream stream("/proc/self/clear_refs");
  stream << "5" << std::flush;
  return bool(stream);
}

void trim_heap()
{
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

double free_bytes_of_machine()
{
  const double free = 1024.0 * entry("/proc/meminfo", "MemAvailable:", unlimited);
  return std::max(0.0, std::min(free, room_in_groups()));
}

double free_bytes_of_process()
{
  rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return unlimited;
  return std::max(0.0, double(limit.rlim_cur) - 1024.0 * entry("/proc/self/status", "VmSize:", 0.0));
}

}    // namespace metalff
