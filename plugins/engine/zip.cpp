#include "zip.h"

#include "error.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace metalff {
namespace {

uint32_t crc32(const char *data, std::size_t size)
{
  static const auto table = [] {
    std::array<uint32_t, 256> t{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      t[i] = c;
    }
    return t;
  }();
  uint32_t crc = ~0u;
  for (std::size_t i = 0; i < size; ++i) crc = table[(crc ^ (unsigned char) data[i]) & 255] ^ (crc >> 8);
  return ~crc;
}

/// Little-endian fields of a byte string, bounds-checked.
struct Bytes {
  const std::string &path, &file;

  template <typename T> T at(std::size_t offset) const
  {
    if (offset + sizeof(T) > file.size()) fail();
    T value;
    std::memcpy(&value, file.data() + offset, sizeof(T));
    return value;
  }

  std::string slice(std::size_t offset, std::size_t size) const
  {
    if (offset > file.size() || size > file.size() - offset) fail();
    return file.substr(offset, size);
  }

  [[noreturn]] void fail() const
  {
    throw Error("'" + path + "' is truncated or damaged: copy it again from its source");
  }
};

}    // namespace

std::map<std::string, std::string> read_zip(const std::string &path)
{
  std::error_code unknown;
  if (!std::filesystem::is_regular_file(path, unknown))
    throw Error("'" + path + "' does not exist or is not a file: check the path");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Error("cannot open '" + path + "': check that you may read it");
  const std::string file((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  const Bytes bytes{path, file};

  if (file.size() < 4 || std::memcmp(file.data(), "PK\x03\x04", 4) != 0)
    throw Error("'" + path + "' is not an .mlff artefact: make one with 'metalff deploy'");
  // the file ends with its own end of central directory; a cut one may hold that of a payload, which is a zip as well
  if (file.size() < 22 || file.compare(file.size() - 22, 4, "PK\x05\x06") != 0) bytes.fail();
  const std::size_t end = file.size() - 22;
  const auto count = bytes.at<uint16_t>(end + 10);
  std::size_t entry = bytes.at<uint32_t>(end + 16);

  std::map<std::string, std::string> members;
  for (int i = 0; i < count; ++i) {
    if (bytes.at<uint32_t>(entry) != 0x02014b50u) bytes.fail();
    const auto method = bytes.at<uint16_t>(entry + 10);
    const auto crc = bytes.at<uint32_t>(entry + 16);
    const auto size = bytes.at<uint32_t>(entry + 24);
    const auto name_size = bytes.at<uint16_t>(entry + 28);
    const auto extra_size = bytes.at<uint16_t>(entry + 30);
    const auto comment_size = bytes.at<uint16_t>(entry + 32);
    const auto local = bytes.at<uint32_t>(entry + 42);
    const std::string name = bytes.slice(entry + 46, name_size);
    if (method != 0)
      throw Error("'" + path + "' was repacked with compression: use the file as 'metalff deploy' wrote it");
    const std::size_t data = std::size_t(local) + 30 + bytes.at<uint16_t>(local + 26) + bytes.at<uint16_t>(local + 28);
    members[name] = bytes.slice(data, size);
    if (crc32(members[name].data(), size) != crc) bytes.fail();
    entry += 46u + name_size + extra_size + comment_size;
  }
  return members;
}

}    // namespace metalff
