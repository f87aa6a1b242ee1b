#include "deviation.h"

#include "engine/graph.h"
#include "error.h"
#include "platform.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mpi.h>

using namespace LAMMPS_NS;
using metalff::reserve_for;

void Deviation::start(int n_all)
{
  for (auto &force : force_) {
    reserve_for(force, 3 * std::size_t(n_all));
    std::fill_n(force.begin(), 3 * std::size_t(n_all), 0.0);
  }
  reserve_for(per_atom, std::max(n_all, 1));
  std::fill(energy_.begin(), energy_.end(), 0.0);
}

void Deviation::reduce(const std::vector<int> &atom_of, int n_owned)
{
  std::fill(per_atom.begin(), per_atom.end(), 0.0);
  double sum = 0.0, most = 0.0, least = std::numeric_limits<double>::infinity();
  for (int node = 0; node < n_owned; ++node) {
    const std::size_t at = 3 * std::size_t(atom_of[node]);
    double squares = 0.0;
    for (int c = 0; c < 3; ++c) {
      double average = 0.0;
      for (const auto &force : force_) average += force[at + c] / members_;
      for (const auto &force : force_) squares += (force[at + c] - average) * (force[at + c] - average) / members_;
    }
    const double deviation = std::sqrt(squares);
    per_atom[atom_of[node]] = deviation;
    sum += deviation;
    most = std::max(most, deviation);
    least = std::min(least, deviation);
  }
  share(sum, most, least, n_owned);
}

void Deviation::share(double mine, double most, double least, int n_owned)
{
  double sum[2] = {mine, double(n_owned)};
  double extremes[2] = {most, -least};
  MPI_Allreduce(MPI_IN_PLACE, sum, 2, MPI_DOUBLE, MPI_SUM, world);
  MPI_Allreduce(MPI_IN_PLACE, extremes, 2, MPI_DOUBLE, MPI_MAX, world);
  std::vector<double> energy = energy_;
  MPI_Allreduce(MPI_IN_PLACE, energy.data(), members_, MPI_DOUBLE, MPI_SUM, world);

  largest = smallest = mean = energy_per_atom = 0.0;
  if (sum[1] == 0.0) return;    // no atom that the models see
  largest = extremes[0];
  smallest = -extremes[1];
  mean = sum[0] / sum[1];
  double average = 0.0, squares = 0.0;
  for (const double e : energy) average += e / members_;
  for (const double e : energy) squares += (e - average) * (e - average) / members_;
  energy_per_atom = std::sqrt(squares) / sum[1];
}

double Deviation::missing_bytes(int n_all) const
{
  double numbers = 0.0;
  for (const auto &force : force_) numbers += std::max(0.0, 3.3 * n_all - double(force.capacity()));
  return sizeof(double) * (numbers + std::max(0.0, 1.1 * n_all - double(per_atom.capacity())));
}

void DeviationFile::close()
{
  if (file_) fclose(file_);
  file_ = nullptr;
  step_ = -1;
}

void DeviationFile::write(const std::string &path, bool append, const Units &units, bigint step, const Deviation &deviation)
{
  if (!file_) {
    file_ = fopen(path.c_str(), append ? "a" : "w");
    if (!file_)
      error->one(FLERR, "cannot write the deviation file '{}' of pair_style mlff: {}", path, utils::getsyserror());
    platform::fseek(file_, platform::END_OF_FILE);
    if (!append)
      fputs(fmt::format("# step max_devi_f[{0}] min_devi_f[{0}] avg_devi_f[{0}] devi_e[{1}/atom]\n", units.name_of_force,
                        units.name_of_energy).c_str(), file_);
  }
  if (step_ == step) platform::ftruncate(file_, line_at_);    // a minimizer tries several positions in a step and ends with the last
  line_at_ = platform::ftell(file_);
  fputs(fmt::format("{} {:.10g} {:.10g} {:.10g} {:.10g}\n", step, deviation.largest, deviation.smallest, deviation.mean,
                    deviation.energy_per_atom).c_str(), file_);
  fflush(file_);
  step_ = step;
}
