// The torch engine: programs compiled for this machine.
#pragma once

#include "model.h"

#include <memory>
#include <string>

namespace metalff {

/// \param programs directory of the compiled programs, see compiled.h
/// Opens libtorch. Throws Error.
std::unique_ptr<Model> load_torch_model(const Artifact &artifact, const std::string &programs, const Options &options);

}    // namespace metalff
