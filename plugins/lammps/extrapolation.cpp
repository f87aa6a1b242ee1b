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

Extrapolation::Extrapolation(LAMMPS *lmp, const metalff::Artifact &artifact, const std::vector<int> &element, Action action) :
    Pointers(lmp), path_(artifact.path), names_(names_of(artifact, element)), action_(action),
    shortest_(artifact.shortest_distance), overlap_(artifact.overlap_distance()), r_max_(artifact.r_max),
    coordination_(artifact.largest_coordination)
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

/// Edges within the graph's cutoff bound those within the model's.
int Extrapolation::crowd(const metalff::Graph &graph, int node) const
{
  return graph.first[node + 1] - graph.first[node] > coordination_ ? neighbors(graph, node) : 0;
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
    atoms += kind == CLOSE ? close(graph, node) : kind == CROWDED ? crowd(graph, node) > coordination_ : stranger(neighborhood, node) > 0;
  return atoms;
}

std::string Extrapolation::check(const Neighborhood &neighborhood, double shortest)
{
  Measure measure{shortest};
  for (int node = 0; measures() && node < neighborhood.graph.n_owned; ++node) {
    if (coordination_ > 0) measure.neighbors = std::max(measure.neighbors, crowd(neighborhood.graph, node));
    if (!unseen_.empty()) measure.stranger = std::max(measure.stranger, stranger(neighborhood, node));
  }
  return check(measure, [&](Kind kind) { return count(neighborhood, kind); });
}

std::string Extrapolation::check(const Measure &measure, const std::function<bigint(Kind)> &atoms)
{
  ++evaluations_;
  if (!measures()) return {};
  double extreme[3] = {-measure.shortest, double(measure.neighbors), double(measure.stranger)};
  MPI_Allreduce(MPI_IN_PLACE, extreme, 3, MPI_DOUBLE, MPI_MAX, world);
  const double shortest = -extreme[0];
  const bool stops = action_ == Action::STOP;

  if (shortest < shortest_) {
    if (stops || shortest < overlap_)
      return fmt::format("two atoms are {:.3f} A apart at step {}, but the shortest distance in the training data of '{}' "
                         "is {:.3f} A: mend the starting structure or use a shorter timestep", shortest,
                         update->ntimestep, path_, shortest_);
    const bool first = !close_.warned;
    const bigint all = count(close_, -shortest, atoms(CLOSE));
    if (first && comm->me == 0)
      error->warning(FLERR, "two atoms are {:.3f} A apart at step {}, closer than any in the training data of '{}' ({:.3f} A), "
                     "as are {} atoms in all: the model extrapolates", shortest, update->ntimestep, path_, shortest_, all);
  }
  if (coordination_ > 0 && extreme[1] > coordination_) {
    if (stops)
      return fmt::format("an atom has {} neighbours within {:g} A at step {}, but no atom in the training data of '{}' more than "
                         "{}: compare the density with that of the training data, or use 'extrapolation warn'",
                         int(extreme[1]), r_max_, update->ntimestep, path_, coordination_);
    const bool first = !crowded_.warned;
    const bigint all = count(crowded_, extreme[1], atoms(CROWDED));
    if (first && comm->me == 0)
      error->warning(FLERR, "an atom has {} neighbours within {:g} A at step {}, more than any in the training data of '{}' ({}), "
                     "as have {} atoms in all: the model extrapolates", int(extreme[1]), r_max_, update->ntimestep, path_,
                     coordination_, all);
  }
  if (extreme[2] > 0.0) {
    const int pair = int(extreme[2]), n = int(unseen_.size());
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
  Count *counts[3] = {&close_, &crowded_, &strange_};
  double mine[3], sum[3];
  for (int k = 0; k < 3; ++k) mine[k] = double(counts[k]->atoms);
  MPI_Reduce(mine, sum, 3, MPI_DOUBLE, MPI_SUM, 0, world);
  for (int k = 0; comm->me == 0 && k < 3; ++k) {
    const Count &c = *counts[k];
    if (c.evaluations == 0) continue;
    const std::string how =
        k == 0 ? fmt::format("were closer to another than {:.3f} A, the shortest distance in the training data; the closest "
                             "{:.3f} A", shortest_, -c.worst)
        : k == 1 ? fmt::format("had more than {} neighbours, the most in the training data; the most {}", coordination_, c.worst)
                 : std::string("had a neighbour of a species that they never had in the training data");
    utils::logmesg(lmp, "pair_style mlff extrapolated in {} of {} force evaluations: {:.6g} atoms on average {}\n",
                   c.evaluations, evaluations_, sum[k] / double(c.evaluations), how);
  }
  for (Count *count : counts) *count = Count{count->warned};
  evaluations_ = 0;
}
