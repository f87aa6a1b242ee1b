// The engine of MACE models.
#include "mace_model.h"

extern "C" __attribute__((visibility("default"))) metalff::Model *metalff_load_native_mace(
    const std::string &payload, const metalff::Artifact &artifact, const metalff::Options &options)
{
  metalff::MaceWeights weights = metalff::MaceWeights::read(payload, artifact);
  if (options.single) return new metalff::NativeMace<float>(std::move(weights), options);
  return new metalff::NativeMace<double>(std::move(weights), options);
}
