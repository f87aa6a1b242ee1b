// Whether a run will fit into the memory, told before its first step.
#pragma once

#include "pointers.h"

#include <string>

namespace LAMMPS_NS {

class MemoryForecast : protected Pointers {
 public:
  explicit MemoryForecast(LAMMPS *lmp) : Pointers(lmp) {}

  /// Prints the peak when it is new; what must end the run, or nothing. All ranks take part.
  /// \param need  bytes that this rank will take beyond those in use
  std::string check(double need);

 private:
  double predicted_ = 0.0;    // bytes of the largest rank, as printed last
};

}    // namespace LAMMPS_NS
