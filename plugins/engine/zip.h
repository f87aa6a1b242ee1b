// Reads the zip container of an artefact. Members are stored, not deflated, so that they need no library to open.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace metalff {

/// A zip file as 'metalff deploy' writes it: plain members one after the other, then their directory, and nothing between, before or after.
class Zip {
 public:
  struct Member {
    uint64_t data = 0, size = 0;    ///< place and number of its bytes
    uint32_t crc = 0;
  };

  /// Reads the directory and the header of every member, none of their bytes. Throws Error with one sentence when the file is missing or
  /// damaged, or holds what deploy does not write: compression, encryption, zip64, data descriptors, extra fields, comments, a name twice,
  /// a name that is no plain relative path, more than 100 members, members that overlap or leave gaps, two headers that differ.
  explicit Zip(const std::string &path);

  const std::map<std::string, Member> &members() const { return members_; }

  /// Calls act with the bytes of a member, part by part. Throws Error when there is none of that name, or it is damaged (CRC-32).
  void each_part(const std::string &name, const std::function<void(std::string_view)> &act) const;

  /// All of them at once.
  std::string read(const std::string &name) const;

 private:
  [[noreturn]] void damaged() const;
  [[noreturn]] void repacked(const std::string &with) const;
  std::string bytes(uint64_t offset, uint64_t size) const;

  std::string path_;
  uint64_t file_size_ = 0;
  std::map<std::string, Member> members_;
};

}    // namespace metalff
