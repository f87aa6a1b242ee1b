// One exception for everything that a user can mend: the message is one clear sentence.
#pragma once

#include <stdexcept>
#include <string>

namespace metalff {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string &what) : std::runtime_error(what) {}
};

}    // namespace metalff
