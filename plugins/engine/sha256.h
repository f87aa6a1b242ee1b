// SHA-256 (FIPS 180-4): the fingerprint of payloads and of whole artefacts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace metalff {

class Sha256 {
 public:
  void add(const void *data, std::size_t size);

  /// Lower-case hexadecimal, of all that was added.
  std::string digest() const;

 private:
  std::array<uint32_t, 8> h_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  unsigned char rest_[64] = {};    // what does not fill a block yet
  uint64_t size_ = 0;
};

/// Lower-case hexadecimal digest of `size` bytes at `data`.
std::string sha256(const void *data, std::size_t size);

}    // namespace metalff
