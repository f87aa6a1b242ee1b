// SHA-256 (FIPS 180-4): the fingerprint of payloads and of whole artefacts.
#pragma once

#include <cstddef>
#include <string>

namespace metalff {

/// Lower-case hexadecimal digest of `size` bytes at `data`.
std::string sha256(const void *data, std::size_t size);

}    // namespace metalff
