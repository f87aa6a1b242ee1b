#include "tensors.h"

#include "../error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace metalff {
namespace {

constexpr double largest = 1e30;    // so that a product of a weight and another is a number

/// The beginning of a name, fit for a message.
std::string shown(const std::string &name)
{
  std::string text = name.substr(0, 40);
  for (char &c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

template <typename T> void convert(const char *bytes, std::vector<double> &values)
{
  for (std::size_t k = 0; k < values.size(); ++k) {
    T value;
    std::memcpy(&value, bytes + k * sizeof(T), sizeof(T));
    values[k] = double(value);
  }
}

}    // namespace

void Tensors::refuse(const std::string &reason) const
{
  throw Error("payload " + name_ + " is not valid (" + reason + "): deploy the model again");
}

Tensors::Tensors(const std::string &bytes, const std::string &name) : name_(name)
{
  uint64_t length = 0;
  if (bytes.size() < 8) refuse("it is truncated");
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) refuse("its header is truncated");
  const char *data = bytes.data() + 8 + length;
  const uint64_t size = bytes.size() - 8 - length;
  const Json header = parse_json(std::string_view(bytes.data() + 8, length));
  if (!header.is_object()) refuse("its header is not JSON");
  std::vector<std::array<uint64_t, 2>> places;
  try {
    for (const auto &[key, entry] : header.items()) {
      if (key == "__metadata__") {
        metadata_ = entry.get<std::map<std::string, std::string>>();
        continue;
      }
      const auto type = entry.at("dtype").get<std::string>();
      const uint64_t width = type == "F64" || type == "I64" ? 8 : type == "F32" || type == "I32" ? 4 : 0;
      if (!width) refuse("tensor " + shown(key) + " has type " + shown(type));
      Tensor tensor;
      for (const char *list : {"shape", "data_offsets"})
        for (const Json &number : entry.at(list))
          if (!number.is_number_unsigned()) refuse("tensor " + shown(key) + " has a place or shape that is no list of whole numbers");
      tensor.shape = entry.at("shape").get<std::vector<int64_t>>();
      const auto ends = entry.at("data_offsets").get<std::vector<uint64_t>>();
      uint64_t count = 1;
      for (const int64_t extent : tensor.shape) {
        if (extent < 0 || (extent > 0 && count > size / uint64_t(extent))) refuse("tensor " + shown(key) + " is larger than the payload");
        count *= uint64_t(extent);
      }
      if (ends.size() != 2 || ends[1] < ends[0] || ends[1] > size || ends[1] - ends[0] != count * width)
        refuse("the place of tensor " + shown(key) + " does not fit its shape");
      places.push_back({ends[0], ends[1]});
      tensors_[key] = std::move(tensor);
    }
    // one after the other, so that all together are no larger than the payload
    std::sort(places.begin(), places.end());
    uint64_t end = 0;
    for (const auto &place : places) {
      if (place[0] != end) refuse("its tensors overlap or leave gaps");
      end = place[1];
    }
    if (end != size) refuse("its tensors do not fill it");
    for (auto &[key, tensor] : tensors_) {
      const Json &entry = header.at(key);
      const auto &type = entry.at("dtype").get_ref<const std::string &>();
      const auto ends = entry.at("data_offsets").get<std::array<uint64_t, 2>>();
      const char *at = data + ends[0];
      tensor.values.resize((ends[1] - ends[0]) / (type.ends_with("64") ? 8 : 4));
      if (type == "F64") convert<double>(at, tensor.values);
      if (type == "F32") convert<float>(at, tensor.values);
      if (type == "I64") convert<int64_t>(at, tensor.values);
      if (type == "I32") convert<int32_t>(at, tensor.values);
      for (const double value : tensor.values)
        if (!(std::fabs(value) <= largest)) refuse("tensor " + shown(key) + " holds a number that is not finite, or beyond 1e30");
    }
  } catch (const Json::exception &) {
    refuse("its header lacks dtype, shape or data_offsets of a tensor");
  }
}

const std::string &Tensors::metadata(const std::string &key) const
{
  const auto at = metadata_.find(key);
  if (at == metadata_.end()) refuse("its header has no metadata '" + key + "'");
  return at->second;
}

const Tensors::Tensor &Tensors::find(const std::string &tensor) const
{
  const auto at = tensors_.find(tensor);
  if (at == tensors_.end()) refuse("tensor " + tensor + " is missing");
  return at->second;
}

int64_t Tensors::extent(const std::string &tensor, std::size_t dimension) const
{
  const Tensor &t = find(tensor);
  if (dimension >= t.shape.size()) refuse("tensor " + tensor + " has too few dimensions");
  return t.shape[dimension];
}

const std::vector<double> &Tensors::get(const std::string &tensor, const std::vector<int64_t> &shape) const
{
  const Tensor &t = find(tensor);
  bool same = t.shape.size() == shape.size();
  for (std::size_t k = 0; same && k < shape.size(); ++k) same = shape[k] < 0 || shape[k] == t.shape[k];
  if (!same) refuse("tensor " + tensor + " has a wrong shape");
  return t.values;
}

}    // namespace metalff
