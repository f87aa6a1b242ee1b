// A Kokkos of this library's own. It starts with the first model and ends with the program: Kokkos cannot start twice.
#pragma once

#include "engine/model.h"

#include <atomic>
#include <mutex>
#include <string>

namespace metalff {

/// What holds memory of the device.
class Resident {
 public:
  /// Gives that memory back, for Kokkos is about to end.
  virtual void leave() = 0;

 protected:
  ~Resident() = default;
};

class OwnKokkos {
 public:
  /// Starts Kokkos on options.device, "cuda:N" or "kokkos". Throws Error where that device is not, or this process is on another.
  static void start(const Options &options);

  /// What options.device runs on, in words. Throws Error where there is none.
  static std::string describe(const std::string &device);

  static void enter(Resident *resident);
  static void leave(Resident *resident);

  /// While one lives, no other thread computes. Throws Error when Kokkos has ended, or is that of the parent of this process.
  class Turn {
   public:
    Turn();
    ~Turn();

   private:
    std::unique_lock<std::mutex> lock_;
  };
};

}    // namespace metalff
