#include "nep_model.h"

extern "C" __attribute__((visibility("default"))) metalff::Model *metalff_load_native_nep(
    const std::string &payload, const metalff::Artifact &artifact, const metalff::Options &options)
{
  metalff::NepWeights weights = metalff::NepWeights::read(payload, artifact);
  if (options.single) return new metalff::NativeNep<float>(std::move(weights), options);
  return new metalff::NativeNep<double>(std::move(weights), options);
}
