// A model that is a compiled torch program (AOTInductor): the general path and the reference.
#pragma once

#include "model.h"

namespace metalff {

/// Loads the shared library that was compiled from the artefact's torch payload. Throws Error.
std::unique_ptr<Model> load_torch_model(const Artifact &artifact, const std::string &library, const Options &options);

}    // namespace metalff
