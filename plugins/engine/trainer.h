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

  /// gradient += ∂E/∂parameters, E = Σ_{i < n_owned} E_i.
  virtual void add_gradient(const Graph &graph, double *gradient) = 0;

  /// Descriptors [n_owned, n_descriptors] as they enter the network, unscaled.
  virtual int n_descriptors() const = 0;
  virtual void descriptors(const Graph &graph, double *out) = 0;
};

/// The trainer of a native payload (nep.txt). Throws Error.
std::unique_ptr<Trainer> open_trainer(const std::string &payload);

}    // namespace metalff
