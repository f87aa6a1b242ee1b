// The interface that every engine fulfils: a graph in, atomic energies and dE/d edge_vec out.
#pragma once

#include "artifact.h"
#include "graph.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace metalff {

struct Options {
  enum class Engine { AUTO, TORCH, NATIVE } engine = Engine::AUTO;    ///< auto: native where the artefact has a payload for it
  bool single = false;           ///< evaluate in float32 (sums stay in float64)
  std::string device = "cpu";    ///< "cpu", "cuda:N"; for tests "kokkos": the kernels of a device on the processor
  int threads = 1;
  int knots = -1;                ///< native engine: points of its radial splines; 0: exact functions, -1: the engine chooses
  int chunk = 0;                 ///< centres evaluated at a time; bounds memory; 0: the engine chooses
};

/// Memory in bytes: what an evaluation leaves behind for the next, and what it gives back.
struct Need {
  double kept = 0.0, passing = 0.0;
};

/// What makes the nodes of several ranks one graph. A model calls it between its layers, on every rank equally often.
class Exchange {
 public:
  /// Rows of ghosts become those of their owners; features [n_nodes * width].
  virtual void forward(double *features, int width) = 0;
  /// Rows of ghosts are added to those of their owners; gradients [n_nodes * width].
  virtual void reverse(double *gradients, int width) = 0;

 protected:
  ~Exchange() = default;
};

/// A part of the evaluations so far: seconds of all threads, floating-point operations as its formulas have them.
struct Part {
  int layer;
  std::string name;
  double seconds, flops;
};

/// Rows of a full neighbour list: LAMMPS' own, or those of KOKKOS, which are one array.
struct NeighborRows {
  const int *count = nullptr;             ///< [n] neighbours of each
  const int *const *rows = nullptr;       ///< [n]; null: row i begins at block + i * row
  const int *block = nullptr;
  std::ptrdiff_t row = 0, step = 1;       ///< from row to row, from neighbour to neighbour

  const int *operator[](int i) const { return rows ? rows[i] : block + i * row; }
};

/// Atoms and the rows of their neighbours as an MD program keeps them, and what is added to: for a model that needs no graph.
struct Surroundings {
  int n = 0, n_all = 0;                   ///< atoms [0, n) are the centres; those up to n_all their neighbours, too
  const double *x = nullptr;              ///< [n_all * 3] Å
  const int *type = nullptr;              ///< [n_all]
  const int *element = nullptr;           ///< [types] index into the model's elements; -1: not seen
  const int *image_of = nullptr;          ///< [n_all] where the force on an atom goes; null: to itself
  NeighborRows neighbors;
  int mask = 0;                           ///< what of an entry of a row is the neighbour's index
  double r_max = 0.0;                     ///< Å

  double unit_of_force = 1.0;             ///< of an eV/Å
  double *force = nullptr;                ///< [n_all * 3] added to, in that unit
  double *atomic_energy = nullptr;        ///< [n] eV, written; null: not asked for
  double energy = 0.0, w[6] = {};         ///< sums: eV; Σ r ⊗ dE/dr over edges (xx yy zz xy xz yz), eV
  double shortest_squared = 0.0;          ///< Å², of the edges within r_max
  int most_neighbors = 0, fewest_neighbors = 0;    ///< of a centre, within r_max; without centres the fewest are the greatest integer
};

class Model {
 public:
  virtual ~Model() = default;

  /// Evaluates without a graph. Returns false, and does nothing, where the model cannot.
  virtual bool walk(Surroundings &) { return false; }

  /// What evaluates, in words: "torch", "native, AVX-512".
  virtual std::string engine() const = 0;

  /// Where the time went, in the order of the work; empty: not known.
  virtual std::vector<Part> profile() const { return {}; }

  /// Width of the widest features that evaluate() exchanges; 0: none, the model is strictly local.
  virtual int feature_width() const { return 0; }

  /// Further members of a committee that came with the model and share most of its work; the model itself is not one of them.
  virtual int committee() const { return 0; }

  /// Of every member: energies of the owned nodes and, added, forces on all nodes.
  /// \param energy [committee] Σ_{i < n_owned} E_i, eV
  /// \param force  [committee] arrays [n_nodes * 3], eV/Å
  virtual void evaluate_committee(const Graph &, double *, double *const *) {}

  /// What the next evaluate() of this graph takes beyond what is in use; the first call may evaluate some centres to find out.
  /// Zeros where the system does not tell.
  virtual Need memory(const Graph &) { return {}; }

  /// Evaluates E = Σ_{i < n_owned} E_i.
  /// \param atomic_energy [n_nodes] E_i in eV; entries from n_owned on are unspecified
  /// \param edge_grad     [n_edges * 3] dE/d edge_vec in eV/Å
  /// \param exchange      null: the graph itself holds all that the owned nodes depend on
  /// Throws Error; with an exchange only after it took part in all of this evaluation's exchanges.
  virtual void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad, Exchange *exchange = nullptr) = 0;
};

/// The model of an opened artefact. Throws Error, also where a payload for the native engine is not what the manifest says, or fails the
/// self-test: that is replayed once per file, engine and machine, and remembered in the cache where this may be written. The torch engine compiles on first use on a machine (see compiled.h); `programs`
/// names the directory of compiled ones and stands for that engine.
std::unique_ptr<Model> open_model(const Artifact &artifact, const Options &options, const std::string &programs = {});

/// The same without the self-test: for those who replay or make it.
std::unique_ptr<Model> open_unproved(const Artifact &artifact, const Options &options, const std::string &programs = {});

/// What the native engine's library for a device would run on, in words. Throws Error where it is not built or there is no such device.
std::string describe_device(const std::string &device);

}    // namespace metalff
