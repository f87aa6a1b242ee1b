// What training asks of a native model: energies and forces as ever, and the gradient of the energy by its parameters.
#pragma once

#include "graph.h"

#include <memory>
#include <string>

namespace metalff {

class Trainer {
 public:
  virtual ~Trainer() = default;

  /// Number of parameters, in the order of the model's file.
  virtual std::size_t n_parameters() const = 0;
  virtual void set(const double *parameters) = 0;
  virtual void get(double *parameters) const = 0;

  /// See Model::evaluate.
  virtual void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad) = 0;

  /// Adds factor · ∂E/∂parameters to a sum, E = Σ_i E_i over all nodes.
  virtual void add_gradient(const Graph &graph, double factor) = 0;

  /// gradient += that sum, which starts again at zero; to be called before set().
  virtual void take_gradient(double *gradient) = 0;

  /// Layers of message passing: what Graph::reach must have.
  virtual int layers() const { return 1; }

  /// Descriptors [n_owned, n_descriptors] as they enter the network, unscaled; none where a model has no such thing.
  virtual int n_descriptors() const { return 0; }
  virtual void descriptors(const Graph &, double *) {}

  /// Basis functions of a model that is linear in its coefficients, and what each of them gives with a coefficient of one:
  /// energy, forces and virial in rows [n_functions][1 + 3 n_nodes + 9], added (TrainingLoss has the units).
  virtual int n_functions() const { return 0; }
  virtual void design(const Graph &, double *) {}
};

/// The trainer of a native payload: nep.txt of the family nep, what deploy/mace_weights.py writes of the family mace, or poly/program.py of
/// the family poly. Throws Error.
std::unique_ptr<Trainer> open_trainer(const std::string &family, const std::string &payload);

}    // namespace metalff
