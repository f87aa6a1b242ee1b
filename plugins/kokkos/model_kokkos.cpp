#include "model_kokkos.h"

#include "engine/error.h"
#include "mace_kokkos.h"
#include "nep_kokkos.h"

#include <string>

namespace metalff {

template <class Space>
std::unique_ptr<DeviceModel<Space>> open_device_model(const Artifact &artifact, const Options &options, const std::vector<char> &present)
{
  const std::string mace = "native/mace.safetensors", nep = "native/nep.txt";
  try {
    if (artifact.payloads.count(mace)) return open_device_mace<Space>(artifact.read(mace), artifact, options, present);
    if (artifact.payloads.count(nep)) return open_device_nep<Space>(artifact.read(nep), artifact, options);
  } catch (const Error &e) {
    throw Error("'" + artifact.path + "': " + e.what());
  }
  throw Error("'" + artifact.path + "' (" + artifact.family + ") has no kernels for a device: use the pair style mlff/kk/host, or a model of the "
              "families mace or nep");
}

template std::unique_ptr<DeviceModel<Kokkos::DefaultExecutionSpace>>
open_device_model<Kokkos::DefaultExecutionSpace>(const Artifact &, const Options &, const std::vector<char> &);

}    // namespace metalff
