// Gradients of a NEP's energy by its parameters.
#include "../trainer.h"
#include "nep_model.h"

namespace metalff {
namespace {

class NepTrainer final : public Trainer, private NativeNep<double> {
  static constexpr int W = width<double>;

 public:
  explicit NepTrainer(NepWeights weights) : NativeNep<double>(std::move(weights), Options()), slope_(w_), sum_(n_parameters(), 0.0) {}

  std::size_t n_parameters() const override { return w_.n_parameters(); }
  void get(double *parameters) const override { std::copy(w_.values.begin(), w_.values.end(), parameters); }
  void set(const double *parameters) override
  {
    w_.assign(parameters);
    arrange();
  }

  void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad) override
  {
    NativeNep<double>::evaluate(graph, atomic_energy, edge_grad, nullptr);
  }

  void add_gradient(const Graph &graph, double factor) override
  {
    slope_.clear();
    for (int i = 0; i < graph.n_owned; ++i) {
      const int type = graph.types[i];
      describe(graph, i);
      energy_of(type, s());
      network_slope(type);
      radial_slope(type);
      density_gradient(s());
      angular_slope(type);
    }
    slope_.pull_back(w_, factor, sum_.data());
  }

  void take_gradient(double *gradient) override
  {
    for (std::size_t p = 0; p < sum_.size(); ++p) gradient[p] += sum_[p];
    std::fill(sum_.begin(), sum_.end(), 0.0);
  }

  int n_descriptors() const override { return w_.dim; }
  void descriptors(const Graph &graph, double *out) override
  {
    for (int i = 0; i < graph.n_owned; ++i) {
      describe(graph, i);
      std::copy_n(s().q.data(), w_.dim, out + std::size_t(i) * w_.dim);
    }
  }

 private:
  NepWorkspace<double> &s() { return workspaces_[0]; }

  void describe(const Graph &graph, int i)
  {
    const int type = graph.types[i];
    select(graph, i, type, s());
    double *q = room(s().q, t_.Q);
    std::fill_n(q, t_.Q, 0.0);
    radial_forward(type, s(), q);
    angular_forward(type, s(), q + w_.n_radial);
  }

  /// E = Σ_j w1_j tanh(w0_j·q - b0_j) - bias; s.z holds the arguments of tanh.
  void network_slope(int type)
  {
    for (int j = 0; j < w_.neurons; ++j) {
      const std::size_t neuron = std::size_t(type) * w_.neurons + j;
      const double x = std::tanh(s().z[j]), slope = w_.w1[neuron] * (1 - x * x);
      slope_.w1[neuron] += x, slope_.b0[neuron] -= slope;
      double *w0 = &slope_.w0[neuron * w_.dim];
      for (int d = 0; d < w_.dim; ++d) w0[d] += slope * s().q[d];
    }
    slope_.bias[type] -= 1.0;
  }

  /// q_n = Σ_k c_nk Σ_j f_k(r_j)
  void radial_slope(int type)
  {
    const double *f = s().functions.data();
    for (const auto &run : s().radial.runs) {
      double *c = &slope_.c_radial[std::size_t(type * t_.types + run.type) * w_.n_radial * w_.basis_radial];
      for (int n = 0; n < w_.n_radial; ++n)
        for (int k = 0; k < w_.basis_radial; ++k) *c++ += s().dq[n] * 0.5 * (f[k] + f[0]);
      f += t_.K;
    }
  }

  /// ∂E/∂g_n(r_j) = Σ_lm ∂E/∂S_n,lm Y_lm(j), g_n = Σ_k c_nk f_k
  void angular_slope(int type)
  {
    const int n = w_.n_angular, K = w_.basis_angular;
    Lanes<double> *sums = reinterpret_cast<Lanes<double> *>(room(sums_, std::size_t(n) * K * W));
    for (const auto &run : s().angular.runs) {
      std::fill_n(sums, n * K, Lanes<double>{});
      const double rc = t_.angular_cutoff(type, run.type);
      for (int b = run.begin; b < run.end; ++b) {
        Lanes<double> f[nep_basis_most], df[nep_basis_most];
        functions(lanes(s().angular.length.data(), b), rc, K, f, df);
        const Lanes<double> *Y = &lanes(s().Y.data(), b * harmonics_);
        for (int m = 0; m < n; ++m) {
          const double *dS = s().dS.data() + std::size_t(m / W) * harmonics_ * W + m % W;
          Lanes<double> G = {};
          for (int h = 1; h < harmonics_; ++h) G += dS[h * W] * Y[h];
          for (int k = 0; k < K; ++k) sums[m * K + k] += G * f[k];
        }
      }
      double *c = &slope_.c_angular[std::size_t(type * t_.types + run.type) * n * K];
      for (int k = 0; k < n * K; ++k)
        for (int lane = 0; lane < W; ++lane) c[k] += sums[k][lane];
    }
  }

  NepWeights slope_;           // ∂E/∂ of the parameters of one structure, in the arrangement of w_
  std::vector<double> sum_;    // of structures, in the order of the parameters
  Buffer<double> sums_;
};

}    // namespace
}    // namespace metalff

extern "C" __attribute__((visibility("default"))) metalff::Trainer *metalff_train_native_nep(const std::string &payload)
{
  return new metalff::NepTrainer(metalff::NepWeights::read(payload, "nep.txt"));
}
