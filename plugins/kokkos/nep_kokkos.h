// Neuroevolution potentials on a device.
#pragma once

#include "model_kokkos.h"

#include <string>

namespace metalff {

/// \param payload native/nep.txt. Rows of the graphs are sorted by element. Throws Error.
template <class Space> std::unique_ptr<DeviceModel<Space>> open_device_nep(const std::string &payload, const Artifact &artifact, const Options &options);

}    // namespace metalff
