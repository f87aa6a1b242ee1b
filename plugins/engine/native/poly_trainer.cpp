// A polynomial potential is linear in its coefficients: what a least-squares fit asks of it.
#include "../error.h"
#include "../trainer.h"
#include "poly_model.h"

#include <algorithm>

namespace metalff {
namespace {

/// Parameters: the coefficients, then the tables of radial functions of all pairs that interact, as the payload has them.
class PolyTrainer final : public Trainer, private NativePoly<double> {
  using P = Simd<double>;
  using V = Lanes<double>;
  static constexpr int W = P::width;

 public:
  explicit PolyTrainer(PolyWeights weights) : NativePoly<double>(std::move(weights), {})
  {
    for (const auto &program : w_.programs) {
      if (program.function.empty() || program.densities() != 1) throw Error("a polynomial without basis functions cannot be fitted: give the payload of a fit");
      for (const int f : program.function) coefficients_.resize(std::max(coefficients_.size(), std::size_t(f) + 1), 0.0);
    }
    for (const auto &program : w_.programs)
      for (std::size_t k = 0; k < program.terms.size(); ++k)
        if (program.factor[k] != 0.0) coefficients_[program.function[k]] = program.weights[k] / program.factor[k];
  }

  std::size_t n_parameters() const override
  {
    std::size_t n = coefficients_.size();
    for (const auto &pair : w_.pairs) n += pair.table.size();
    return n;
  }

  void set(const double *parameters) override
  {
    std::copy_n(parameters, coefficients_.size(), coefficients_.begin());
    parameters += coefficients_.size();
    for (std::size_t q = 0; q < w_.programs.size(); ++q) {
      auto &program = w_.programs[q];
      for (std::size_t k = 0; k < program.terms.size(); ++k) program.weights[k] = program.factor[k] * coefficients_[program.function[k]];
      programs_[q].arrange(program);
    }
    for (std::size_t p = 0; p < w_.pairs.size(); ++p) {
      auto &table = w_.pairs[p].table;
      std::copy_n(parameters, table.size(), table.begin());
      parameters += table.size();
      if (!table.empty()) radial_[p].arrange(w_.pairs[p]);
    }
    refer();
  }

  void get(double *parameters) const override
  {
    parameters = std::copy(coefficients_.begin(), coefficients_.end(), parameters);
    for (const auto &pair : w_.pairs) parameters = std::copy(pair.table.begin(), pair.table.end(), parameters);
  }

  void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad) override
  {
    NativePoly<double>::evaluate(graph, atomic_energy, edge_grad, nullptr);
  }

  void add_gradient(const Graph &, double) override { throw Error("polynomials are fitted by least squares, not by gradients"); }
  void take_gradient(double *) override {}

  int n_functions() const override { return int(coefficients_.size()); }

  /// Derivatives of every node by the vectors to all neighbours are carried along with its value.
  void design(const Graph &graph, double *out) override
  {
    const std::size_t width = 1 + 3 * std::size_t(graph.n_nodes) + 9;
    for (int i = 0; i < graph.n_owned; ++i) {
      const int type = graph.types[i];
      const auto &program = w_.programs[w_.program[type]];
      auto &s = workspaces_[0];
      auto &atom = s.atoms[0];
      atom.index = i, atom.type = type;
      atom.vicinity.look(graph, i, w_.types(), cutoffs(type));
      double *x = room(s.x, std::size_t(program.nodes) * W);
      std::fill_n(x, std::size_t(program.moments) * W, 0.0);
      forward(atom, x, s);
      for (int k = 0; k < program.moments; ++k) x[k] = x[k * W];    // one atom: no lanes
      const int columns = 3 * atom.near.registers;
      V *X = reinterpret_cast<V *>(room(tangents_, std::size_t(program.nodes) * columns * W));
      moment_tangents(atom, program, X, columns);
      for (int k = program.moments; k < program.nodes; ++k) x[k] = 0.0, std::fill_n(X + std::size_t(k) * columns, columns, V{});
      for (const auto &p : program.products) {
        const double fa = p.factor * x[p.a], fb = p.b < 0 ? p.factor : p.factor * x[p.b];
        x[p.out] += p.b < 0 ? fa : fa * x[p.b];
        V *to = X + std::size_t(p.out) * columns;
        if (p.b < 0)
          add_scaled(to, fb, X + std::size_t(p.a) * columns, columns);
        else
          add_scaled(to, fa, X + std::size_t(p.b) * columns, fb, X + std::size_t(p.a) * columns, columns);
      }
      V *row = reinterpret_cast<V *>(room(row_, std::size_t(columns) * W));
      for (std::size_t k = 0; k < program.terms.size();) {
        const int function = program.function[k];
        double value = 0.0;
        std::fill_n(row, columns, V{});
        for (; k < program.terms.size() && program.function[k] == function; ++k) {
          const auto &term = program.terms[k];
          const double factor = program.factor[k], fa = factor * x[term.a], fb = term.b < 0 ? factor : factor * x[term.b];
          value += term.b < 0 ? fa : fa * x[term.b];
          if (term.b < 0)
            add_scaled(row, fb, X + std::size_t(term.a) * columns, columns);
          else
            add_scaled(row, fa, X + std::size_t(term.b) * columns, fb, X + std::size_t(term.a) * columns, columns);
        }
        scatter(graph, i, atom.near, value, row, out + function * width);
      }
    }
  }

 private:
  static void add_scaled(V *to, double f, const V *from, int n)
  {
    for (int k = 0; k < n; ++k) to[k] += f * from[k];
  }

  static void add_scaled(V *to, double f, const V *from, double g, const V *other, int n)
  {
    for (int k = 0; k < n; ++k) to[k] += f * from[k] + g * other[k];
  }

  /// Rows [3, registers] of dA/d of the vectors for every moment.
  void moment_tangents(const PolyWorkspace<double>::Atom &atom, const PolyProgram &program, V *X, int columns)
  {
    std::fill_n(X, std::size_t(program.moments) * columns, V{});
    const V *R = reinterpret_cast<const V *>(atom.R.data()), *dR = reinterpret_cast<const V *>(atom.dR.data());
    const int registers = atom.near.registers;
    Harmonics<P, poly_l_most> harmonics(norms_);
    V Y[poly_harmonics], one[poly_harmonics] = {}, du[3], turned[poly_harmonics][3];
    for (const auto &run : atom.near.runs) {
      const auto &radial = pair(atom.type, run.type);
      for (int b = run.begin; b < run.end; ++b, R += radial.functions, dR += radial.functions) {
        const auto &u = atom.near.direction(b);
        const V r = lanes(atom.near.length.data(), b);
        harmonics.values(w_.l_max, u, Y);
        for (int h = 0; h < harmonics_; ++h) {
          one[h] = V{} + 1.0;
          harmonics.gradient(w_.l_max, one, du);
          edge_gradient<P>(u, r, V{}, du, turned[h]);
          one[h] = V{};
        }
        for (int l = 0; l <= w_.l_max; ++l)
          for (int k = radial.use_first[l]; k < radial.use_first[l + 1]; ++k)
            for (int m = 0; m <= 2 * l; ++m) {
              const int h = l * l + m, f = radial.use[k].function;
              V *to = X + std::size_t(radial.use[k].node + m) * columns + b;
              for (int c = 0; c < 3; ++c) to[c * registers] += dR[f] * u[c] * Y[h] + R[f] * turned[h][c];
            }
      }
    }
  }

  /// One atom's part of a function: its value, and what neighbours feel of it.
  void scatter(const Graph &graph, int i, const Neighbours<double> &near, double value, const V *row, double *out) const
  {
    out[0] += value;
    double *forces = out + 1, *virial = forces + 3 * std::size_t(graph.n_nodes), mine[3] = {};
    for (int b = 0; b < near.registers; ++b)
      for (int lane = 0; lane < W; ++lane) {
        const int64_t e = near.edge[b * W + lane];
        if (e < 0) break;
        const double *vec = &graph.edge_vec[3 * e];
        double *force = forces + 3 * std::size_t(graph.neighbor[e]);
        for (int c = 0; c < 3; ++c) {
          const double g = row[c * near.registers + b][lane];
          force[c] -= g, mine[c] += g;
          for (int a = 0; a < 3; ++a) virial[3 * a + c] -= vec[a] * g;
        }
      }
    for (int c = 0; c < 3; ++c) forces[3 * std::size_t(i) + c] += mine[c];
  }

  std::vector<double> coefficients_;
  Buffer<double> tangents_, row_;
};

}    // namespace
}    // namespace metalff

extern "C" __attribute__((visibility("default"))) metalff::Trainer *metalff_train_native_poly(const std::string &payload)
{
  return new metalff::PolyTrainer(metalff::PolyWeights::read(payload, "poly.safetensors"));
}
