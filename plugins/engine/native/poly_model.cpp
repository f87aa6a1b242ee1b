#include "poly_model.h"

extern "C" __attribute__((visibility("default"))) metalff::Model *metalff_load_native_poly(
    const std::string &payload, const metalff::Artifact &artifact, const metalff::Options &options)
{
  metalff::PolyWeights weights = metalff::PolyWeights::read(payload, artifact);
  if (options.single) return new metalff::NativePoly<float>(std::move(weights), options);
  return new metalff::NativePoly<double>(std::move(weights), options);
}
