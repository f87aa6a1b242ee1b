// The interface that every engine fulfils: a graph in, atomic energies and dE/d edge_vec out.
#pragma once

#include "artifact.h"
#include "graph.h"

#include <memory>
#include <string>

namespace metalff {

struct Options {
  bool single = false;           ///< evaluate in float32 (sums stay in float64)
  std::string device = "cpu";    ///< "cpu" or "cuda:N"
  int threads = 1;
};

class Model {
 public:
  virtual ~Model() = default;

  /// Evaluates E = Σ_{i < n_owned} E_i.
  /// \param atomic_energy [n_nodes] E_i in eV; entries from n_owned on are unspecified
  /// \param edge_grad     [n_edges * 3] dE/d edge_vec in eV/Å
  virtual void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad) = 0;
};

/// The model of an opened artefact. Throws Error; compiles on first use on a machine (see compiled.h), unless `library`
/// names a compiled program.
std::unique_ptr<Model> open_model(const Artifact &artifact, const Options &options, const std::string &library = {});

}    // namespace metalff
