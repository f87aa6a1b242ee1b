// Where the time of the layers goes: a clock read between the parts of a tile's work, some ten times per twelve atoms.
#pragma once

#include <chrono>
#include <vector>

namespace metalff {

enum class LayerPart { EDGES, MESSAGES, LINEAR, PRODUCT, UPDATE, UPDATE_BACK, PRODUCT_BACK, LINEAR_BACK, MESSAGES_BACK };
constexpr const char *layer_part_names[] = {"edges", "messages", "linear", "product", "update", "update, backward", "product, backward",
                                            "linear, backward", "messages, backward"};
constexpr int layer_parts = 9;

/// Of one thread: seconds and floating-point operations by layer and part.
class Laps {
 public:
  struct Sum {
    double seconds = 0.0, flops = 0.0;
  };

  void start(int layer)
  {
    layer_ = layer;
    sums.resize(std::max(sums.size(), std::size_t(layer + 1) * layer_parts));
    last_ = std::chrono::steady_clock::now();
  }
  void lap(LayerPart part, double flops)
  {
    const auto now = std::chrono::steady_clock::now();
    Sum &sum = sums[layer_ * layer_parts + int(part)];
    sum.seconds += std::chrono::duration<double>(now - last_).count();
    sum.flops += flops;
    last_ = now;
  }

  std::vector<Sum> sums;    // [layers, parts]

 private:
  int layer_ = 0;
  std::chrono::steady_clock::time_point last_;
};

}    // namespace metalff
