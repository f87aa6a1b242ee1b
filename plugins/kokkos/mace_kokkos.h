// MACE on a device.
#pragma once

#include "model_kokkos.h"

#include <string>

namespace metalff {

/// \param payload native/mace.safetensors; \param present [elements] those that the run has; empty: all. Throws Error.
template <class Space>
std::unique_ptr<DeviceModel<Space>> open_device_mace(const std::string &payload, const Artifact &artifact, const Options &options, const std::vector<char> &present);

}    // namespace metalff
