// Whether atoms leave what a model was trained on.
#pragma once

#include "engine/artifact.h"
#include "neighborhood.h"
#include "pointers.h"

#include <functional>
#include <string>
#include <vector>

namespace LAMMPS_NS {

/// The guard of one model: distances below the shortest, coordination above the largest, and pairs of species outside the
/// training data are warned of once and counted, or end the run.
class Extrapolation : protected Pointers {
 public:
  enum class Action { STOP, WARN, IGNORE };

  /// \param element  [ntypes + 1] index into the model's elements by LAMMPS type; -1: not seen by the model
  Extrapolation(LAMMPS *lmp, const metalff::Artifact &artifact, const std::vector<int> &element, Action action);

  /// How far the atoms of a rank go. Distances in Å.
  struct Measure {
    double shortest;        ///< distance
    int neighbors = 0;      ///< most within the model's cutoff; not counted up to the limit
    int stranger = 0;       ///< largest a * (ntypes + 1) + b of types a <= b that are neighbours and never were in training
  };
  enum Kind { CLOSE, CROWDED, STRANGE };

  /// Whether there is something to measure.
  bool measures() const { return action_ != Action::IGNORE && (shortest_ > 0.0 || coordination_ > 0 || !unseen_.empty()); }
  double shortest() const { return shortest_; }
  double r_max() const { return r_max_; }
  int coordination() const { return coordination_; }
  const std::vector<std::vector<char>> &unseen() const { return unseen_; }

  /// What must end the run, the same on all ranks, or nothing; warns on the way. All ranks take part.
  /// \param neighborhood  with edges in Å
  /// \param shortest      Å, the shortest edge of this rank
  std::string check(const Neighborhood &neighborhood, double shortest);
  /// \param atoms  how many of this rank are of a kind, asked when one on any rank is
  std::string check(const Measure &measure, const std::function<bigint(Kind)> &atoms);

  /// How many atoms of this rank are of a kind.
  bigint count(const Neighborhood &neighborhood, Kind kind) const;

  /// Lines of how often and how far it went since the last report. All ranks take part.
  void report();

 private:
  struct Count {
    bool warned = false;
    bigint evaluations = 0, atoms = 0;    // in which it happened; atoms of this rank, summed over those
    double worst = 0.0;
  };

  int neighbors(const metalff::Graph &graph, int node) const;
  int crowd(const metalff::Graph &graph, int node) const;
  int stranger(const Neighborhood &neighborhood, int node) const;
  bool close(const metalff::Graph &graph, int node) const;
  bigint count(Count &count, double value, bigint atoms);

  const std::string path_;
  const std::vector<std::string> names_;    // [ntypes + 1] element of a LAMMPS type
  const Action action_;
  const double shortest_, overlap_, r_max_;
  const int coordination_;
  std::vector<std::vector<char>> unseen_;    // [ntypes + 1][ntypes + 1]; empty: every pair was seen
  Count close_, crowded_, strange_;
  bigint evaluations_ = 0;
};

}    // namespace LAMMPS_NS
