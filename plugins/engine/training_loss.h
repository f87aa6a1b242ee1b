// The loss of a batch of labelled structures, and its gradient by the parameters of a native model.
#pragma once

#include "trainer.h"

#include <array>
#include <memory>
#include <optional>
#include <vector>

namespace metalff {

struct LabelledGraph {
  Graph graph;                                       ///< all nodes owned, none beyond the structure
  double energy = 0.0;                               ///< eV
  std::vector<double> forces;                        ///< [n_nodes * 3] eV/Å
  std::optional<std::array<double, 9>> virial;       ///< eV, -Σ edge_vec ⊗ dE/d edge_vec
};

struct Answer {
  double energy = 0.0;
  std::vector<double> forces;
  std::array<double, 9> virial{};
};

/// Force MSE (eV²/Å²) + weighted squared errors of energy per atom and of virial per atom (eV²), every structure counting the same.
///
/// Forces are linear in dE/d edge_vec, so the gradient of their squared error is ∂/∂ε of ∂E/∂parameters along one direction u of edge_vec,
/// here a central difference: no second derivative is ever written down, and a step costs three evaluations.
class TrainingLoss {
 public:
  TrainingLoss(const std::string &family, const std::string &payload, int threads);

  Trainer &trainer() { return *trainers_[0]; }
  void set(const double *parameters);

  /// Its number. Throws Error when the edges are not those of its nodes.
  int add(LabelledGraph structure);
  const LabelledGraph &structure(int k) const { return structures_.at(k); }
  int size() const { return int(structures_.size()); }

  Answer predict(int k, int thread = 0);
  std::vector<Answer> predict(const std::vector<int> &batch);

  /// Loss of a batch; gradient [n_parameters] is overwritten.
  double gradient(const std::vector<int> &batch, double energy_weight, double virial_weight, double *gradient);

 private:
  double add_gradient(int k, int thread, double part, double energy_weight, double virial_weight);

  struct Workspace {
    std::vector<double> energy, edge_grad, direction, edge_vec, total;
  };
  std::vector<std::unique_ptr<Trainer>> trainers_;    // one per thread
  std::vector<Workspace> workspaces_;
  std::vector<LabelledGraph> structures_;
};

}    // namespace metalff
