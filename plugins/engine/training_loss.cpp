#include "training_loss.h"

#include "native/threads.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace metalff {
namespace {

/// Largest displacement of an edge in the central difference, Å: round-off and truncation are both near 1e-8 of the gradient.
constexpr double step = 2e-4;

}    // namespace

TrainingLoss::TrainingLoss(const std::string &family, const std::string &payload, int threads) : workspaces_(std::max(1, threads))
{
  for (std::size_t k = 0; k < workspaces_.size(); ++k) trainers_.push_back(open_trainer(family, payload));
}

void TrainingLoss::set(const double *parameters)
{
  for (auto &trainer : trainers_) trainer->set(parameters);
}

int TrainingLoss::add(LabelledGraph structure)
{
  structures_.push_back(std::move(structure));
  return int(structures_.size()) - 1;
}

Answer TrainingLoss::predict(int k, int thread)
{
  const Graph &graph = structures_.at(k).graph;
  Workspace &w = workspaces_[thread];
  w.energy.resize(graph.n_nodes), w.edge_grad.resize(3 * graph.n_edges());
  trainers_[thread]->evaluate(graph, w.energy.data(), w.edge_grad.data());
  Answer answer;
  answer.energy = std::accumulate(w.energy.begin(), w.energy.begin() + graph.n_owned, 0.0);
  answer.forces.assign(3 * std::size_t(graph.n_nodes), 0.0);
  for (int i = 0; i < graph.n_nodes; ++i)
    for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e)
      for (int c = 0; c < 3; ++c) {
        const double g = w.edge_grad[3 * e + c];
        answer.forces[3 * i + c] += g, answer.forces[3 * graph.neighbor[e] + c] -= g;
        for (int a = 0; a < 3; ++a) answer.virial[3 * a + c] -= graph.edge_vec[3 * e + a] * g;
      }
  return answer;
}

std::vector<Answer> TrainingLoss::predict(const std::vector<int> &batch)
{
  std::vector<Answer> answers(batch.size());
  const int threads = int(trainers_.size());
  share(threads, threads, [&](int thread, int) {    // whichever thread takes it
    for (std::size_t k = thread; k < batch.size(); k += threads) answers[k] = predict(batch[k], thread);
  });
  return answers;
}

double TrainingLoss::add_gradient(int k, int thread, double part, double energy_weight, double virial_weight)
{
  LabelledGraph &structure = structures_.at(k);
  Graph &graph = structure.graph;
  Workspace &w = workspaces_[thread];
  Trainer &trainer = *trainers_[thread];
  const Answer answer = predict(k, thread);
  const double n = graph.n_nodes;

  const double energy_error = (answer.energy - structure.energy) / n;
  double loss = energy_weight * energy_error * energy_error;
  const double by_energy = 2 * energy_weight * energy_error / n;

  std::vector<double> by_force(answer.forces.size());
  for (std::size_t c = 0; c < by_force.size(); ++c) {
    const double error = answer.forces[c] - structure.forces[c];
    loss += error * error / (3 * n), by_force[c] = 2 * error / (3 * n);
  }
  std::array<double, 9> by_virial{};
  if (structure.virial)
    for (int c = 0; c < 9; ++c) {
      const double error = (answer.virial[c] - (*structure.virial)[c]) / n;
      loss += virial_weight * error * error / 9, by_virial[c] = 2 * virial_weight * error / (9 * n);
    }

  // ∂loss/∂(dE/d edge_vec)
  w.direction.resize(3 * graph.n_edges());
  double longest = 0.0;
  for (int i = 0; i < graph.n_nodes; ++i)
    for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e) {
      double square = 0.0;
      for (int c = 0; c < 3; ++c) {
        double u = by_force[3 * i + c] - by_force[3 * graph.neighbor[e] + c];
        for (int a = 0; a < 3; ++a) u -= graph.edge_vec[3 * e + a] * by_virial[3 * a + c];
        w.direction[3 * e + c] = u, square += u * u;
      }
      longest = std::max(longest, square);
    }
  longest = std::sqrt(longest);
  if (!std::isfinite(longest) || !std::isfinite(loss)) return part * loss;
  const double h = longest > 0.0 ? step / longest : 0.0, half = part * 0.5 * by_energy, per = h > 0.0 ? part * 0.5 / h : 0.0;
  w.edge_vec.resize(graph.edge_vec.size());
  for (int side : {0, 1}) {
    const double by = side ? -h : h;
    for (std::size_t c = 0; c < w.direction.size(); ++c) w.edge_vec[c] = graph.edge_vec[c] + by * w.direction[c];
    std::swap(graph.edge_vec, w.edge_vec);
    try {
      trainer.add_gradient(graph, half + (side ? -per : per));
    } catch (...) {
      std::swap(graph.edge_vec, w.edge_vec);
      throw;
    }
    std::swap(graph.edge_vec, w.edge_vec);
  }
  return part * loss;
}

double TrainingLoss::gradient(const std::vector<int> &batch, double energy_weight, double virial_weight, double *gradient)
{
  // a structure has its trainer, and sums are in the order of trainers: a run is reproducible
  const int threads = int(trainers_.size());
  const std::size_t parameters = trainer().n_parameters();
  std::vector<double> loss(threads, 0.0);
  share(threads, threads, [&](int thread, int) {
    workspaces_[thread].total.assign(parameters, 0.0);
    for (std::size_t k = thread; k < batch.size(); k += threads)
      loss[thread] += add_gradient(batch[k], thread, 1.0 / batch.size(), energy_weight, virial_weight);
    trainers_[thread]->take_gradient(workspaces_[thread].total.data());
  });
  std::fill_n(gradient, parameters, 0.0);
  for (const Workspace &w : workspaces_)
    for (std::size_t p = 0; p < parameters; ++p) gradient[p] += w.total[p];
  return std::accumulate(loss.begin(), loss.end(), 0.0);
}

}    // namespace metalff
