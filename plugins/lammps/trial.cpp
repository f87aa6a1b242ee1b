#include "trial.h"

#include "fix.h"
#include "modify.h"
#include "update.h"

#include <cstring>

using namespace LAMMPS_NS;

static bool is_monte_carlo(const char *style)
{
  for (const char *name : {"gcmc", "widom", "atom/swap", "mol/swap", "neighbor/swap", "charge/regulation", "gemc"})
    if (strcmp(style, name) == 0) return true;
  return false;
}

bool LAMMPS_NS::is_trial(LAMMPS *lmp, int eflag)
{
  const Update &update = *lmp->update;
  if (update.whichflag != 1 || update.setupflag) return false;
  constexpr int energy_global = 1, energy_only = 4;    // ENERGY_ONLY of force.h, which LAMMPS before 2026 has not: a trial, or a finite difference
  if (!(eflag & energy_global)) return false;
  if (eflag & energy_only) return true;
  // the step at which such a fix comes to its turn is that of its next reneighbouring, until its moves are done
  for (const Fix *fix : lmp->modify->get_fix_list())
    if (fix->next_reneighbor == update.ntimestep && is_monte_carlo(fix->style)) return true;
  return false;
}
