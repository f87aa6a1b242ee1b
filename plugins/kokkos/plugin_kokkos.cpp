// Registers pair_style mlff and its variants for KOKKOS with a LAMMPS, and refuses clearly one that they were not built for. Needs no symbol of
// Kokkos or of LAMMPS' classes, so that it loads into any LAMMPS; the styles are in mlff_kokkos.so beside it.
#include "lammps/version_guard.h"
#include "library.h"

#define KOKKOS_MACROS_HPP    // the configuration alone: with CUDA, Kokkos' other headers take nvcc
#include <KokkosCore_config.h>

#include <initializer_list>
#include <string>

namespace {

std::string mismatch;    // why this LAMMPS cannot use the styles; empty when it can

using Create = void *(void *, int);
Create *create = nullptr;

constexpr const char *precision =
#if defined(LMP_KOKKOS_SINGLE_SINGLE)
    "single";
#elif defined(LMP_KOKKOS_SINGLE_DOUBLE)
    "mixed";
#else
    "double";
#endif

constexpr const char *layout =
#ifdef LMP_KOKKOS_LAYOUT_DEFAULT
    "default";
#else
    "legacy";
#endif

struct Backend {
  const char *name;
  bool built;
};
constexpr Backend backends[] = {
#ifdef KOKKOS_ENABLE_CUDA
    {"cuda", true},
#else
    {"cuda", false},
#endif
#ifdef KOKKOS_ENABLE_HIP
    {"hip", true},
#else
    {"hip", false},
#endif
#ifdef KOKKOS_ENABLE_SYCL
    {"sycl", true},
#else
    {"sycl", false},
#endif
#ifdef KOKKOS_ENABLE_OPENMP
    {"openmp", true},
#else
    {"openmp", false},
#endif
#ifdef KOKKOS_ENABLE_THREADS
    {"pthreads", true},
#else
    {"pthreads", false},
#endif
#ifdef KOKKOS_ENABLE_SERIAL
    {"serial", true},
#else
    {"serial", false},
#endif
};

/// The feature of KOKKOS that this LAMMPS has: the first of some names, or nothing.
std::string found_of(const char *category, std::initializer_list<const char *> names)
{
  for (const char *name : names)
    if (lammps_config_accelerator("KOKKOS", category, name)) return name;
  return {};
}

std::string find_mismatch(void *lmp)
{
  const std::string mend = "build it with cmake -DLAMMPS_SOURCE_DIR -DLAMMPS_BUILD_DIR for this LAMMPS";
  if (!lammps_config_has_package("KOKKOS"))
    return "this LAMMPS has no KOKKOS package: use mlffplugin.so, which is for such a LAMMPS, instead of mlffkkplugin.so";
  if (const std::string other = metalff::find_mismatch(lmp, mend); !other.empty()) return other;
  const std::string found = found_of("precision", {"double", "mixed", "single"});
  if (found != precision) return std::string("pair_style mlff/kk was built for KOKKOS in ") + precision + " precision but this LAMMPS has " + found + ": " + mend;
  const std::string arrays = found_of("layout", {"legacy", "default"});
  if (!arrays.empty() && arrays != layout)
    return std::string("pair_style mlff/kk was built for KOKKOS with the ") + layout + " layout of views but this LAMMPS has the " + arrays + " one: " + mend;
  for (const auto &[name, built] : backends)
    if (bool(lammps_config_accelerator("KOKKOS", "api", name)) != built)
      return std::string("pair_style mlff/kk was built for KOKKOS ") + (built ? "with" : "without") + " the backend " + name + " but this LAMMPS has it " +
          (built ? "not: " : "too: ") + mend;
  return {};
}

template <int variant> void *create_pair(void *lmp)
{
  if (!mismatch.empty()) metalff::end_command(lmp, mismatch);
  return create(lmp, variant);
}

}    // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  mismatch = find_mismatch(lmp);
  if (mismatch.empty()) create = metalff::open_styles<Create>("mlff_kokkos.so", "metalff_create_mlff", mismatch);
  const std::string version = metalff::version_text(metalff::version_of(lmp));

  lammpsplugin_t plugin{};
  plugin.version = version.c_str();
  plugin.style = "pair";
  plugin.info = "machine-learned force fields for metals, MetalFF " METALFF_VERSION;
  plugin.author = "MetalFF developers";
  plugin.handle = handle;
  auto add = [&](const char *name, void *(*creator)(void *)) {
    plugin.name = name;
    plugin.creator = creator;
    reinterpret_cast<lammpsplugin_regfunc>(regfunc)(&plugin, lmp);
  };
  add("mlff", create_pair<0>);
  add("mlff/kk", create_pair<1>);
  add("mlff/kk/device", create_pair<1>);
  add("mlff/kk/host", create_pair<2>);
}
