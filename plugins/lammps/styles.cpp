// The pair style, of a library of its own (mlff_lammps.so): mlffplugin.so opens it in a LAMMPS that it fits.
#include "pair_mlff.h"

extern "C" __attribute__((visibility("default"))) void *metalff_create_mlff(void *lmp)
{
  return new LAMMPS_NS::PairMLFF(static_cast<LAMMPS_NS::LAMMPS *>(lmp));
}
