#include "training_loss.h"

#include "native/threads.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace metalff {
namespace {

/// Largest displacement of an edge in the central difference, Å: round-off and truncation are both near 1e-8 of the gradient.
constexpr double step = 2e-4;

/// Of an error of this square: its Huber loss, and what the gradient of the square is multiplied by.
struct Huber {
  double loss, slope;
  Huber(double square, double threshold) : loss(square), slope(1.0)
  {
    if (threshold <= 0.0 || square <= threshold * threshold) return;
    const double error = std::sqrt(square);
    loss = threshold * (2 * error - threshold), slope = threshold / error;
  }
};

/// The centres of a graph some of whose edges have a direction, into part; their directions come to the front.
Graph &only_moved(const Graph &graph, std::vector<double> &direction, Graph &part)
{
  std::vector<int32_t> order, number(graph.n_nodes);
  const auto moved = [&](int i) {
    for (int64_t c = 3 * graph.first[i]; c < 3 * graph.first[i + 1]; ++c)
      if (direction[c] != 0.0) return true;
    return false;
  };
  for (int i = 0; i < graph.n_nodes; ++i)
    if (moved(i)) order.push_back(i);
  part.n_nodes = graph.n_nodes, part.n_owned = int(order.size());
  part.reach.assign(1, part.n_owned);
  std::vector<char> is_moved(graph.n_nodes, 0);
  for (int i : order) is_moved[i] = 1;
  for (int i = 0; i < graph.n_nodes; ++i)
    if (!is_moved[i]) order.push_back(i);
  part.first.assign(1, 0), part.neighbor.clear(), part.edge_vec.clear(), part.types.clear();
  for (int i = 0; i < graph.n_nodes; ++i) number[order[i]] = i, part.types.push_back(graph.types[order[i]]);
  int64_t at = 0;
  for (int i = 0; i < graph.n_nodes; ++i) {
    if (i < part.n_owned)
      for (int64_t e = graph.first[order[i]]; e < graph.first[order[i] + 1]; ++e, ++at) {
        part.neighbor.push_back(number[graph.neighbor[e]]);
        for (int c = 0; c < 3; ++c) part.edge_vec.push_back(graph.edge_vec[3 * e + c]), direction[3 * at + c] = direction[3 * e + c];
      }
    part.first.push_back(at);
  }
  return part;
}

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

void TrainingLoss::design(const std::vector<int> &batch, double *out)
{
  const int threads = int(trainers_.size());
  const std::size_t functions = trainer().n_functions();
  std::vector<std::size_t> begin(1, 0);
  for (const int k : batch) begin.push_back(begin.back() + functions * (1 + 3 * std::size_t(structures_.at(k).graph.n_nodes) + 9));
  std::fill_n(out, begin.back(), 0.0);
  share(threads, threads, [&](int thread, int) {
    for (std::size_t k = thread; k < batch.size(); k += threads) trainers_[thread]->design(structures_[batch[k]].graph, out + begin[k]);
  });
}

double TrainingLoss::add_gradient(int k, int thread, double part, const LossTerms &terms)
{
  LabelledGraph &structure = structures_.at(k);
  Graph &graph = structure.graph;
  const Answer answer = predict(k, thread);
  const double n = graph.n_nodes;
  part *= structure.weight;

  const double energy_error = (answer.energy - structure.energy) / n;
  const Huber energy(energy_error * energy_error, terms.huber);
  double loss = terms.energy * energy.loss;
  const double by_energy = 2 * terms.energy * energy.slope * energy_error / n;

  std::vector<double> by_force(answer.forces.size());
  for (std::size_t i = 0; i < by_force.size(); i += 3) {
    double square = 0.0;
    for (std::size_t c = i; c < i + 3; ++c) {
      const double error = answer.forces[c] - structure.forces[c];
      square += error * error, by_force[c] = 2 * error / (3 * n);
    }
    const Huber force(square, terms.huber);
    loss += force.loss / (3 * n);
    for (std::size_t c = i; c < i + 3; ++c) by_force[c] *= force.slope;
  }
  std::array<double, 9> by_virial{};
  if (structure.virial) {
    double square = 0.0;
    for (int c = 0; c < 9; ++c) {
      const double error = (answer.virial[c] - (*structure.virial)[c]) / n;
      square += error * error, by_virial[c] = 2 * terms.virial * error / (9 * n);
    }
    const Huber virial(square, terms.huber);
    loss += terms.virial * virial.loss / 9;
    for (double &by : by_virial) by *= virial.slope;
  }

  for (double &by : by_force) by *= part;
  for (double &by : by_virial) by *= part;
  if (std::isfinite(loss)) add_derivative(graph, thread, part * by_energy, by_force.data(), by_virial.data());
  return part * loss;
}

void TrainingLoss::add_derivative(Graph &graph, int thread, double by_energy, const double *by_force, const double *by_virial)
{
  // u = ∂/∂(dE/d edge_vec) of it, for forces and virial are linear in that
  Workspace &w = workspaces_[thread];
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
  if (!std::isfinite(longest)) return;
  Trainer &trainer = *trainers_[thread];
  if (longest == 0.0) {
    if (by_energy != 0.0) trainer.add_gradient(graph, by_energy);
    return;
  }
  Graph &moved = by_energy == 0.0 && trainer.layers() == 1 ? only_moved(graph, w.direction, w.part) : graph;
  const double h = step / longest, half = 0.5 * by_energy, per = 0.5 / h;
  w.edge_vec.resize(moved.edge_vec.size());
  for (int side : {0, 1}) {
    const double by = side ? -h : h;
    for (std::size_t c = 0; c < w.edge_vec.size(); ++c) w.edge_vec[c] = moved.edge_vec[c] + by * w.direction[c];
    std::swap(moved.edge_vec, w.edge_vec);
    try {
      trainer.add_gradient(moved, half + (side ? -per : per));
    } catch (...) {
      std::swap(moved.edge_vec, w.edge_vec);
      throw;
    }
    std::swap(moved.edge_vec, w.edge_vec);
  }
}

void TrainingLoss::jacobian(int k, int rows, const double *by_energy, const double *by_force, const double *by_virial, double *jacobian)
{
  const int threads = int(trainers_.size());
  const std::size_t parameters = trainer().n_parameters(), n = structures_.at(k).graph.n_nodes;
  std::fill_n(jacobian, rows * parameters, 0.0);
  share(threads, threads, [&](int thread, int) {
    Graph copy;    // its edges are moved
    if (threads > 1) copy = structures_[k].graph;
    Graph &graph = threads > 1 ? copy : structures_[k].graph;
    for (int row = thread; row < rows; row += threads) {
      add_derivative(graph, thread, by_energy[row], by_force + 3 * n * row, by_virial + 9 * row);
      trainers_[thread]->take_gradient(jacobian + parameters * row);
    }
  });
}

double TrainingLoss::gradient(const std::vector<int> &batch, const LossTerms &terms, double *gradient)
{
  // a structure has its trainer, and sums are in the order of trainers: a run is reproducible
  const int threads = int(trainers_.size());
  const std::size_t parameters = trainer().n_parameters();
  std::vector<double> loss(threads, 0.0);
  share(threads, threads, [&](int thread, int) {
    workspaces_[thread].total.assign(parameters, 0.0);
    for (std::size_t k = thread; k < batch.size(); k += threads)
      loss[thread] += add_gradient(batch[k], thread, 1.0 / batch.size(), terms);
    trainers_[thread]->take_gradient(workspaces_[thread].total.data());
  });
  std::fill_n(gradient, parameters, 0.0);
  for (const Workspace &w : workspaces_)
    for (std::size_t p = 0; p < parameters; ++p) gradient[p] += w.total[p];
  return std::accumulate(loss.begin(), loss.end(), 0.0);
}

}    // namespace metalff
