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
  double weight = 1.0;                               ///< of its part of the loss
};

struct Answer {
  double energy = 0.0;
  std::vector<double> forces;
  std::array<double, 9> virial{};
};

/// What the terms of a loss count.
struct LossTerms {
  double energy = 0.0, virial = 0.0;    ///< of the squared error of the energy and of the virial per atom (eV²) against forces (eV²/Å²)
  double huber = 0.0;                   ///< where an error's square becomes linear: eV/Å, and eV per atom; 0: nowhere
};

/// Σ weight · (force MSE + weighted squared errors of energy per atom and of virial per atom) / number of structures.
///
/// With a Huber threshold δ the square of an error x is δ (2x - δ) where x > δ: x is the length of an atom's force error, the error of the energy
/// per atom, or the norm of that of the virial per atom, so that no turn of the structure changes the loss.
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

  /// Of a model that is linear in its coefficients: a block [n_functions][1 + 3 n_nodes + 9] per structure, one after the other, of energy (eV), forces
  /// (eV/Å) and virial (eV) of each function.
  void design(const std::vector<int> &batch, double *out);

  /// Loss of a batch; gradient [n_parameters] is overwritten.
  double gradient(const std::vector<int> &batch, const LossTerms &terms, double *gradient);

  /// jacobian [rows, n_parameters]: ∂/∂parameters of by_energy · E + Σ by_force · F + Σ by_virial · virial of one structure, for each row of
  /// by_energy [rows], by_force [rows, n_nodes, 3] and by_virial [rows, 9]. A row of few atoms' forces alone costs less in a model of one layer.
  void jacobian(int k, int rows, const double *by_energy, const double *by_force, const double *by_virial, double *jacobian);

 private:
  double add_gradient(int k, int thread, double part, const LossTerms &terms);

  struct Workspace {
    std::vector<double> energy, edge_grad, direction, edge_vec, total;
    Graph part;    // of centres whose edges a direction moves
  };

  /// Into the sum of a thread's trainer: ∂/∂parameters of by_energy · E + Σ by_force · F + Σ by_virial · virial.
  void add_derivative(Graph &graph, int thread, double by_energy, const double *by_force, const double *by_virial);
  std::vector<std::unique_ptr<Trainer>> trainers_;    // one per thread
  std::vector<Workspace> workspaces_;
  std::vector<LabelledGraph> structures_;
};

}    // namespace metalff
