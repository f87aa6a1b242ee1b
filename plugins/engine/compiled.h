// The user's cache of payloads compiled for this machine.
#pragma once

#include "artifact.h"
#include "model.h"

#include <string>

namespace metalff {

/// What the Python that MetalFF is installed in prints when it runs `script`; empty where it fails. Throws Error where there is none.
std::string python_says(const std::string &script);

/// Name of the portable payload that `options` select. Throws Error when the artefact has none for that precision.
std::string payload_name(const Artifact &artifact, const Options &options);

/// Fingerprint of all that a compiled payload depends on: payload, instruction set, torch version, device.
std::string cache_key(const Artifact &artifact, const Options &options);

/// Directory of what was compiled before; empty: nothing was. Throws Error where something was and may not be believed.
std::string cached_programs(const Artifact &artifact, const Options &options);

/// Directory of the shared libraries compiled from the artefact, one per program. Compiles them first, in a subprocess, when this machine has not
/// yet done so; concurrent calls of several processes compile once. Throws Error with the compiler's own words.
std::string compiled_programs(const Artifact &artifact, const Options &options);

}    // namespace metalff
