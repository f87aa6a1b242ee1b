// The variants of pair_style mlff, of a library of their own (mlff_kokkos.so): mlffkkplugin.so opens it in a LAMMPS that it fits.
#include "pair_mlff_kokkos.h"

#include "error.h"
#include "kokkos.h"

#include <sstream>
#include <string>

using namespace LAMMPS_NS;

namespace {

/// "5.0.2" of the running program.
std::string running_kokkos()
{
  std::ostringstream text;
  Kokkos::print_configuration(text, false);
  const std::string all = text.str(), key = "Kokkos Version: ";
  const std::size_t at = all.find(key);
  return at == std::string::npos ? "" : all.substr(at + key.size(), all.find('\n', at) - at - key.size());
}

}    // namespace

/// \param variant  0: mlff, 1: mlff/kk and mlff/kk/device, 2: mlff/kk/host
extern "C" __attribute__((visibility("default"))) void *metalff_create_mlff(void *program, int variant)
{
  auto *lmp = static_cast<LAMMPS *>(program);
  if (variant == 0) return new PairMLFF(lmp);
  if (!lmp->kokkos || !lmp->kokkos->kokkos_exists)
    lmp->error->all(FLERR, "pair_style mlff/kk needs KOKKOS: run lmp with '-k on g 1 -sf kk' (GPU) or '-k on t 4 -sf kk' (processor), or use "
                    "pair_style mlff");
  const std::string built = fmt::format("{}.{}.{}", KOKKOS_VERSION / 10000, KOKKOS_VERSION / 100 % 100, KOKKOS_VERSION % 100), found = running_kokkos();
  if (!found.empty() && found != built)
    lmp->error->all(FLERR, "pair_style mlff/kk was built for Kokkos {} but this LAMMPS has {}: build it with cmake -DLAMMPS_BUILD_DIR for this LAMMPS",
                    built, found);
#ifdef LMP_KOKKOS_GPU
  if (variant == 2) return new PairMLFFKokkos<LMPHostType>(lmp);
#endif
  return new PairMLFFKokkos<LMPDeviceType>(lmp);
}
