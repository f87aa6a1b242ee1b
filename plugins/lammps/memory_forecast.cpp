#include "memory_forecast.h"

#include "comm.h"
#include "engine/memory.h"
#include "utils.h"

#include <cmath>

using namespace LAMMPS_NS;

std::string MemoryForecast::check(double need)
{
  // ranks of one machine share its memory
  MPI_Comm machine;
#ifdef MPI_STUBS    // a LAMMPS without MPI
  MPI_Comm_dup(world, &machine);
#else
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
#endif
  const double rank_peak = metalff::resident_bytes() + need;
  double of_machine[2] = {need, rank_peak};
  MPI_Allreduce(MPI_IN_PLACE, of_machine, 2, MPI_DOUBLE, MPI_SUM, machine);
  MPI_Comm_free(&machine);
  double peaks[2] = {rank_peak, of_machine[1]};
  MPI_Allreduce(MPI_IN_PLACE, peaks, 2, MPI_DOUBLE, MPI_MAX, world);

  const double left = metalff::free_bytes_of_process(), left_on_machine = metalff::free_bytes_of_machine();
  auto too_little = [](double wanted, double there, const char *where) {
    return fmt::format("pair_style mlff needs {:.0f} MB of memory more than {} has left ({:.0f} MB needed, {:.0f} MB left): use a "
                       "smaller 'chunk', 'precision single', fewer atoms or more machines", (wanted - there) / 1e6, where,
                       wanted / 1e6, there / 1e6);
  };
  if (need > left) return too_little(need, left, "the limit of this process (ulimit -v)");
  if (of_machine[0] > left_on_machine) return too_little(of_machine[0], left_on_machine, "this machine");
  if (comm->me == 0 && std::abs(peaks[0] - predicted_) > 0.1 * predicted_)
    utils::logmesg(lmp, "pair_style mlff: predicted peak memory {:.0f} MB of the largest rank, {:.0f} MB of the fullest machine; "
                   "{:.0f} MB left on this one\n", peaks[0] / 1e6, peaks[1] / 1e6, left_on_machine / 1e6);
  predicted_ = peaks[0];
  return {};
}
