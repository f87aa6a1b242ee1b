#include "zip.h"

#include "error.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

namespace metalff {
namespace {

constexpr std::size_t most_members = 100, longest_name = 200;
constexpr std::size_t header = 30, entry = 46, end = 22;    // bytes of what is before a member, of one in the directory, of what ends the file

/// Of bytes that follow those of `crc`.
uint32_t crc32(uint32_t crc, std::string_view bytes)
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
  crc = ~crc;
  for (const char c : bytes) crc = table[(crc ^ (unsigned char) c) & 255] ^ (crc >> 8);
  return ~crc;
}

template <typename T> T field(std::string_view bytes, std::size_t offset)
{
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// A relative path of plain characters that leads nowhere else.
bool plain(const std::string &name)
{
  const bool printable = std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c <= '~' && c != '\\' && c != ':' && c != '\''; });
  const std::string path = "/" + name + "/";
  return printable && !name.empty() && path.find("//") == path.npos && path.find("/./") == path.npos && path.find("/../") == path.npos;
}

}    // namespace

void Zip::damaged() const
{
  throw Error("'" + path_ + "' is truncated or damaged: copy it again from its source");
}

void Zip::repacked(const std::string &with) const
{
  throw Error("'" + path_ + "' was repacked with " + with + ": use the file as 'metalff deploy' wrote it");
}

std::string Zip::bytes(uint64_t offset, uint64_t size) const
{
  if (offset > file_size_ || size > file_size_ - offset) damaged();
  std::string found(size, '\0');
  std::ifstream stream(path_, std::ios::binary);
  if (!stream) throw Error("cannot open '" + path_ + "': check that you may read it");
  stream.seekg(std::streamoff(offset));
  if (!stream.read(found.data(), std::streamsize(size))) damaged();
  return found;
}

Zip::Zip(const std::string &path) : path_(path)
{
  std::error_code unknown;
  if (!std::filesystem::is_regular_file(path, unknown))
    throw Error("'" + path + "' does not exist or is not a file: check the path");
  file_size_ = std::filesystem::file_size(path, unknown);
  if (file_size_ < 4 || bytes(0, 4) != "PK\x03\x04") throw Error("'" + path + "' is not an .mlff artefact: make one with 'metalff deploy'");
  // the file ends with its own end of directory; a cut one may hold that of a payload, which is a zip as well
  if (file_size_ < end) damaged();
  const std::string last = bytes(file_size_ - end, end);
  if (!last.starts_with("PK\x05\x06")) damaged();
  const std::size_t count = field<uint16_t>(last, 10);
  const uint64_t size = field<uint32_t>(last, 12), begin = field<uint32_t>(last, 16);
  if (count == 0xFFFF || size == 0xFFFFFFFF || begin == 0xFFFFFFFF) repacked("zip64");
  if (field<uint16_t>(last, 20) != 0) repacked("comments");
  if (field<uint32_t>(last, 4) != 0 || field<uint16_t>(last, 8) != count || begin + size != file_size_ - end) damaged();
  if (count > most_members)
    throw Error("'" + path + "' has " + std::to_string(count) + " members, and an artefact has at most " + std::to_string(most_members) +
                ": use the file as 'metalff deploy' wrote it");
  if (size < count * entry || size > count * (entry + longest_name)) damaged();

  const std::string directory = bytes(begin, size);
  std::vector<std::array<uint64_t, 2>> places;
  std::size_t at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto here = std::string_view(directory).substr(at);
    if (here.size() < entry || !here.starts_with("PK\x01\x02")) damaged();
    const auto needs = field<uint16_t>(here, 6), flags = field<uint16_t>(here, 8), method = field<uint16_t>(here, 10);
    const Member member{0, field<uint32_t>(here, 24), field<uint32_t>(here, 16)};
    const uint64_t packed = field<uint32_t>(here, 20), local = field<uint32_t>(here, 42);
    const std::size_t name_size = field<uint16_t>(here, 28);
    if (flags & 1) repacked("encryption");
    if (method != 0) repacked("compression");
    if (flags & 8) repacked("data descriptors");
    if (needs >= 45 || packed == 0xFFFFFFFF || member.size == 0xFFFFFFFF || local == 0xFFFFFFFF) repacked("zip64");
    if (field<uint16_t>(here, 30) != 0) repacked("extra fields");
    if (field<uint16_t>(here, 32) != 0) repacked("comments");
    if (flags != 0 || field<uint16_t>(here, 34) != 0 || packed != member.size || entry + name_size > here.size()) damaged();
    const std::string name(here.substr(entry, name_size));
    if (name_size > longest_name || !plain(name))
      throw Error("'" + path + "' has a member whose name is no plain relative path: use the file as 'metalff deploy' wrote it");
    if (local > begin || member.size > begin - local || begin - local - member.size < header + name_size) damaged();

    // what is said before the bytes is what the directory says
    const std::string before = bytes(local, header + name_size);
    if (!before.starts_with("PK\x03\x04") || before.compare(4, 22, here.substr(6, 22)) != 0 || field<uint16_t>(before, 26) != name_size ||
        field<uint16_t>(before, 28) != 0 || before.compare(header, name_size, name) != 0)
      throw Error("'" + path + "' says of its member " + name + " one thing in its directory and another before its bytes: copy it again from "
                  "its source");
    if (!members_.emplace(name, Member{local + header + name_size, member.size, member.crc}).second)
      throw Error("'" + path + "' has two members of the name " + name + ": use the file as 'metalff deploy' wrote it");
    places.push_back({local, local + header + name_size + member.size});
    at += entry + name_size;
  }
  if (at != size) damaged();
  std::sort(places.begin(), places.end());
  uint64_t next = 0;
  for (const auto &place : places) {
    if (place[0] != next) throw Error("'" + path + "' has members that overlap or leave gaps: copy it again from its source");
    next = place[1];
  }
  if (next != begin) throw Error("'" + path + "' has members that overlap or leave gaps: copy it again from its source");
}

void Zip::each_part(const std::string &name, const std::function<void(std::string_view)> &act) const
{
  const auto found = members_.find(name);
  if (found == members_.end()) damaged();
  const Member &member = found->second;
  uint32_t crc = 0;
  for (uint64_t done = 0; done < member.size;) {
    const std::string part = bytes(member.data + done, std::min<uint64_t>(member.size - done, 1 << 20));
    crc = crc32(crc, part);
    act(part);
    done += part.size();
  }
  if (crc != member.crc) damaged();
}

std::string Zip::read(const std::string &name) const
{
  std::string all;
  each_part(name, [&](std::string_view part) { all += part; });
  return all;
}

}    // namespace metalff
