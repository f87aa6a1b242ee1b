#include "extrapolation.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "update.h"
#include "utils.h"

#include <algorithm>

using namespace LAMMPS_NS;

static std::vector<std::string> names_of(const metalff::Artifact &artifact, const std::vector<int> &element)
{
  std::vector<std::string> names;
  for (const int e : element) names.push_back(e < 0 ? "NULL" : artifact.elements[e]);
  return names;
}

Extrapolation::Extrapolation(LAMMPS *lmp, const metalff::Artifact &artifact, const std::vector<int> &element, double reach, Action action) :
    Pointers(lmp), path_(artifact.path), names_(names_of(artifact, element)), action_(action),
    shortest_(artifact.shortest_distance), overlap_(artifact.overlap_distance()), r_max_(artifact.r_max), reach_(reach),
    most_(artifact.largest_coordination), fewest_(artifact.smallest_coordination)
{
  if (artifact.pairs.empty()) return;    // not known
  const std::size_t n = element.size();
  std::vector<std::vector<char>> unseen(n, std::vector<char>(n, 0));
  bool any = false;
  for (std::size_t a = 1; a < n; ++a)
    for (std::size_t b = 1; b < n; ++b) {
      if (element[a] < 0 || element[b] < 0) continue;
      const std::pair<int, int> pair = std::minmax(element[a], element[b]);
      unseen[a][b] = artifact.pairs.count(pair) == 0;
      any = any || unseen[a][b];
    }
  if (any) unseen_ = std::move(unseen);
}

/// Neighbours within the model's own cutoff; the graph's may be that of another member of an ensemble.
int Extrapolation::neighbors(const metalff::Graph &graph, int node) const
{
  if (reach_ == r_max_) return int(graph.first[node + 1] - graph.first[node]);
  int within = 0;
  for (int64_t edge = graph.first[node]; edge < graph.first[node + 1]; ++edge) {
    const double *r = &graph.edge_vec[3 * edge];
    within += r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < r_max_ * r_max_;
  }
  return within;
}

/// How many atoms on all ranks, on rank 0, when this is to be warned of.
bigint Extrapolation::count(Count &count, double value, bigint atoms)
{
  bigint all = 0;
  count.worst = count.evaluations == 0 ? value : std::max(count.worst, value);
  count.atoms += atoms;
  ++count.evaluations;
  if (count.warned) return 0;
  count.warned = true;
  MPI_Reduce(&atoms, &all, 1, MPI_LMP_BIGINT, MPI_SUM, 0, world);
  return all;
}

/// A neighbour of a species that the node's never had in training: the two types as one number, or 0.
int Extrapolation::stranger(const Neighborhood &neighborhood, int node) const
{
  const metalff::Graph &graph = neighborhood.graph;
  const int a = atom->type[neighborhood.atom_of[node]];
  for (int64_t edge = graph.first[node]; edge < graph.first[node + 1]; ++edge) {
    const int b = atom->type[neighborhood.atom_of[graph.neighbor[edge]]];
    const double *r = &graph.edge_vec[3 * edge];
    if (unseen_[a][b] && r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < r_max_ * r_max_)
      return std::min(a, b) * int(unseen_.size()) + std::max(a, b);
  }
  return 0;
}

bool Extrapolation::close(const metalff::Graph &graph, int node) const
{
  for (int64_t edge = graph.first[node]; edge < graph.first[node + 1]; ++edge) {
    const double *r = &graph.edge_vec[3 * edge];
    if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < shortest_ * shortest_) return true;
  }
  return false;
}

bigint Extrapolation::count(const Neighborhood &neighborhood, Kind kind) const
{
  const metalff::Graph &graph = neighborhood.graph;
  bigint atoms = 0;
  for (int node = 0; node < graph.n_owned; ++node)
    atoms += kind == CLOSE ? close(graph, node)
        : kind == CROWDED  ? neighbors(graph, node) > most_
        : kind == SPARSE   ? neighbors(graph, node) < fewest_
                           : stranger(neighborhood, node) > 0;
  return atoms;
}

Extrapolation::Measure Extrapolation::measure(const Neighborhood &neighborhood, double shortest) const
{
  Measure measure{shortest};
  if (!measures()) return measure;
  for (int node = 0; node < neighborhood.graph.n_owned; ++node) {
    if (most_ > 0 || fewest_ > 0) {
      const int n = neighbors(neighborhood.graph, node);
      measure.most = std::max(measure.most, n), measure.fewest = std::min(measure.fewest, n);
    }
    if (!unseen_.empty()) measure.stranger = std::max(measure.stranger, stranger(neighborhood, node));
  }
  return measure;
}

Extrapolation::Measure Extrapolation::of_all_ranks(const Measure &mine) const
{
  double extreme[4] = {-mine.shortest, double(mine.most), -double(mine.fewest), double(mine.stranger)};
  MPI_Allreduce(MPI_IN_PLACE, extreme, 4, MPI_DOUBLE, MPI_MAX, world);
  return {-extreme[0], int(extreme[1]), int(-extreme[2]), int(extreme[3])};
}

bool Extrapolation::rejects(const Neighborhood &neighborhood, double shortest)
{
  return rejects(measure(neighborhood, shortest));
}

bool Extrapolation::rejects(const Measure &mine)
{
  ++trials_;
  if (!measures()) return false;
  const Measure measure = of_all_ranks(mine);
  const bool stops = action_ == Action::STOP;
  const bool rejected = measure.shortest < overlap_ ||
      (stops && (measure.shortest < shortest_ || (most_ > 0 && measure.most > most_) || measure.fewest < fewest_ || measure.stranger > 0));
  rejected_ += rejected;
  return rejected;
}

std::string Extrapolation::check(const Neighborhood &neighborhood, double shortest)
{
  return check(measure(neighborhood, shortest), [&](Kind kind) { return count(neighborhood, kind); });
}

/// What may help where atoms are too close.
std::string Extrapolation::remedy() const
{
  if (update->setupflag) return "mend the structure";
  const std::string floor = "a model with a repulsive floor ('--set zbl=…' of metalff train)";
  if (update->whichflag == 2) return "use a smaller 'min_modify dmax', or " + floor;
  return "use a shorter timestep, or where that does not help " + floor + " or one trained on hotter data";
}

std::string Extrapolation::check(const Measure &mine, const std::function<bigint(Kind)> &atoms)
{
  ++evaluations_;
  if (!measures()) return {};
  const Measure measure = of_all_ranks(mine);
  const bool stops = action_ == Action::STOP;

  if (measure.shortest < shortest_) {
    if (stops || measure.shortest < overlap_)
      return fmt::format("two atoms are {:.3f} A apart at step {}, but the shortest distance in the training data of '{}' is {:.3f} A: {}",
                         measure.shortest, update->ntimestep, path_, shortest_, remedy());
    const bool first = !close_.warned;
    const bigint all = count(close_, -measure.shortest, atoms(CLOSE));
    if (first && comm->me == 0)
      error->warning(FLERR, "two atoms are {:.3f} A apart at step {}, closer than any in the training data of '{}' ({:.3f} A), "
                     "as are {} atoms in all: the model extrapolates", measure.shortest, update->ntimestep, path_, shortest_, all);
  }
  if (most_ > 0 && measure.most > most_) {
    if (stops)
      return fmt::format("an atom has {} neighbours within {:g} A at step {}, but no atom in the training data of '{}' more than "
                         "{}: compare the density with that of the training data, or use 'extrapolation warn'",
                         measure.most, r_max_, update->ntimestep, path_, most_);
    const bool first = !crowded_.warned;
    const bigint all = count(crowded_, measure.most, atoms(CROWDED));
    if (first && comm->me == 0)
      error->warning(FLERR, "an atom has {} neighbours within {:g} A at step {}, more than any in the training data of '{}' ({}), "
                     "as have {} atoms in all: the model extrapolates", measure.most, r_max_, update->ntimestep, path_, most_, all);
  }
  if (measure.fewest < fewest_) {
    if (stops)
      return fmt::format("an atom has {} neighbours within {:g} A at step {}, but no atom in the training data of '{}' fewer than "
                         "{}: compare the density with that of the training data, or use 'extrapolation warn'",
                         measure.fewest, r_max_, update->ntimestep, path_, fewest_);
    const bool first = !sparse_.warned;
    const bigint all = count(sparse_, -measure.fewest, atoms(SPARSE));
    if (first && comm->me == 0)
      error->warning(FLERR, "an atom has {} neighbours within {:g} A at step {}, fewer than any in the training data of '{}' ({}), "
                     "as have {} atoms in all: the model extrapolates", measure.fewest, r_max_, update->ntimestep, path_, fewest_, all);
  }
  if (measure.stranger > 0) {
    const int pair = measure.stranger, n = int(unseen_.size());
    const std::string &a = names_[pair / n], &b = names_[pair % n];
    if (stops)
      return fmt::format("{} and {} are neighbours at step {}, but never within {:g} A of each other in the training data of "
                         "'{}': use a model that has seen them together, or 'extrapolation warn'", a, b,
                         update->ntimestep, r_max_, path_);
    const bool first = !strange_.warned;
    const bigint all = count(strange_, 0.0, atoms(STRANGE));
    if (first && comm->me == 0)
      error->warning(FLERR, "{} and {} are neighbours at step {}, but never within {:g} A of each other in the training data of "
                     "'{}', which touches {} atoms in all: the model extrapolates", a, b, update->ntimestep, r_max_, path_, all);
  }
  return {};
}

void Extrapolation::report()
{
  Count *counts[4] = {&close_, &crowded_, &sparse_, &strange_};
  double mine[4], sum[4];
  for (int k = 0; k < 4; ++k) mine[k] = double(counts[k]->atoms);
  MPI_Reduce(mine, sum, 4, MPI_DOUBLE, MPI_SUM, 0, world);
  const std::string how[4] = {
      fmt::format("were closer to another than {:.3f} A, the shortest distance in the training data; the closest {:.3f} A", shortest_, -close_.worst),
      fmt::format("had more than {} neighbours, the most in the training data; the most {}", most_, crowded_.worst),
      fmt::format("had fewer than {} neighbours, the fewest in the training data; the fewest {}", fewest_, 0.0 - sparse_.worst),
      "had a neighbour of a species that they never had in the training data"};
  for (int k = 0; comm->me == 0 && k < 4; ++k)
    if (const Count &c = *counts[k]; c.evaluations > 0)
      utils::logmesg(lmp, "pair_style mlff extrapolated in {} of {} force evaluations: {:.6g} atoms on average {}\n",
                     c.evaluations, evaluations_, sum[k] / double(c.evaluations), how[k]);
  if (comm->me == 0 && rejected_ > 0)
    utils::logmesg(lmp, "pair_style mlff rejected {} of {} trial energies: {}\n", rejected_, trials_,
                   action_ == Action::STOP ? std::string("the positions are beyond the training data")
                                           : fmt::format("atoms were closer than {:.3f} A, 0.6 of the shortest distance in the training data", overlap_));
  for (Count *count : counts) *count = Count{count->warned};
  evaluations_ = trials_ = rejected_ = 0;
}
