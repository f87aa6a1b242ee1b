// Models are in eV and Å; LAMMPS in its own units.
#pragma once

#include "force.h"
#include "pointers.h"
#include "update.h"

#include <optional>
#include <string>

namespace LAMMPS_NS {

struct Units {
  double energy = 1.0;    ///< 1 eV in LAMMPS' units
  double length = 1.0;    ///< 1 Å in LAMMPS' units
  std::string name_of_force = "eV/A", name_of_energy = "eV";

  double force() const { return energy / length; }

  /// Those of `style`, from LAMMPS' own constants, so that pressures and temperatures agree between the styles;
  /// nothing for a style without physical units that make sense here.
  static std::optional<Units> of(const std::string &style, const Force &constants)
  {
    if (style == "metal") return Units();
    if (style == "real") return Units{23.060549, constants.angstrom, "kcal/mol/A", "kcal/mol"};    // force->qe2f
    if (style == "si") return Units{constants.qelectron, constants.angstrom, "N", "J"};
    if (style == "electron")    // Hartree from the two values of Boltzmann's constant
      return Units{constants.boltz / 8.617343e-5, constants.angstrom, "Hartree/Bohr", "Hartree"};
    return {};
  }
};

}    // namespace LAMMPS_NS
