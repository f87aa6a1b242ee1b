// Whether atoms leave what a model was trained on.
#pragma once

#include "engine/artifact.h"
#include "neighborhood.h"
#include "pointers.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace LAMMPS_NS {

/// The guard of one model: distances below the shortest, coordination above the largest or below the smallest, and pairs of species outside
/// the training data are warned of once and counted, or end the run. What would end the run rejects a trial of Monte Carlo.
class Extrapolation : protected Pointers {
 public:
  enum class Action { STOP, WARN, IGNORE };

  /// \param element  [ntypes + 1] index into the model's elements by LAMMPS type; -1: not seen by the model
  /// \param reach    Å, the cutoff of graphs: at least that of the model
  Extrapolation(LAMMPS *lmp, const metalff::Artifact &artifact, const std::vector<int> &element, double reach, Action action);

  /// How far the atoms of a rank go. Distances in Å.
  struct Measure {
    double shortest;        ///< distance
    int most = 0;           ///< neighbours within the model's cutoff; not counted up to the limit
    int fewest = std::numeric_limits<int>::max();    ///< of those
    int stranger = 0;       ///< largest a * (ntypes + 1) + b of types a <= b that are neighbours and never were in training
  };
  enum Kind { CLOSE, CROWDED, SPARSE, STRANGE };

  /// Whether there is something to measure.
  bool measures() const { return action_ != Action::IGNORE && (shortest_ > 0.0 || most_ > 0 || fewest_ > 0 || !unseen_.empty()); }
  double shortest() const { return shortest_; }
  double r_max() const { return r_max_; }
  int most() const { return most_; }
  int fewest() const { return fewest_; }
  const std::vector<std::vector<char>> &unseen() const { return unseen_; }

  /// What must end the run, the same on all ranks, or nothing; warns on the way. All ranks take part.
  /// \param neighborhood  with edges in Å
  /// \param shortest      Å, the shortest edge of this rank
  std::string check(const Neighborhood &neighborhood, double shortest);
  /// \param atoms  how many of this rank are of a kind, asked when one on any rank is
  std::string check(const Measure &measure, const std::function<bigint(Kind)> &atoms);

  /// Whether a trial is to be rejected, for check() would end the run there; the same on all ranks, and all take part.
  bool rejects(const Neighborhood &neighborhood, double shortest);
  bool rejects(const Measure &measure);

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

  Measure measure(const Neighborhood &neighborhood, double shortest) const;
  Measure of_all_ranks(const Measure &mine) const;
  std::string remedy() const;
  int neighbors(const metalff::Graph &graph, int node) const;
  int stranger(const Neighborhood &neighborhood, int node) const;
  bool close(const metalff::Graph &graph, int node) const;
  bigint count(Count &count, double value, bigint atoms);

  const std::string path_;
  const std::vector<std::string> names_;    // [ntypes + 1] element of a LAMMPS type
  const Action action_;
  const double shortest_, overlap_, r_max_, reach_;
  const int most_, fewest_;    // neighbours; 0: not known
  std::vector<std::vector<char>> unseen_;    // [ntypes + 1][ntypes + 1]; empty: every pair was seen
  Count close_, crowded_, sparse_, strange_;
  bigint evaluations_ = 0, trials_ = 0, rejected_ = 0;
};

}    // namespace LAMMPS_NS
