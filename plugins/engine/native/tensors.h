// Named tensors in a safetensors file.
#pragma once

#include "../json.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace metalff {

/// A checked safetensors payload; all numbers as float64.
class Tensors {
 public:
  /// \param name of the payload, for messages. Throws Error when the layout is damaged or a number is not finite.
  Tensors(const std::string &bytes, const std::string &name);

  /// Text of the header's metadata. Throws Error when it is missing.
  const std::string &metadata(const std::string &key) const;

  /// Values of a tensor that must have this shape; -1 stands for any extent. Throws Error when it is missing or has another.
  const std::vector<double> &get(const std::string &tensor, const std::vector<int64_t> &shape) const;

  /// Extent of a tensor. Throws Error when it is missing or has fewer dimensions.
  int64_t extent(const std::string &tensor, std::size_t dimension) const;

  bool has(const std::string &tensor) const { return tensors_.count(tensor) > 0; }

  [[noreturn]] void refuse(const std::string &reason) const;

 private:
  struct Tensor {
    std::vector<int64_t> shape;
    std::vector<double> values;
  };
  const Tensor &find(const std::string &tensor) const;

  std::string name_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

}    // namespace metalff
