// The driver of poly_atom.h on a host: as many atoms at a time as a register has lanes.
#pragma once

#include "../model.h"
#include "neighbours.h"
#include "poly_arrays.h"
#include "simd.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace metalff {

/// What is kept of the atoms of a tile.
template <typename T> struct PolyWorkspace {
  static constexpr int W = width<T>;
  struct Atom {
    int index, type;
    Vicinity vicinity;
    Neighbours<T> near;
    Buffer<T> R, dR;    // [registers][functions of the run's pair][width]
    int nearest = -1;   // where all but the core is switched by a neighbour: its place among them
  };
  std::array<Atom, W> atoms;
  std::vector<std::vector<std::pair<int, int>>> waiting;    // [programs] atoms and their types
  Buffer<T> Y, x, G, value, slope, dfunction;
  Buffer<double> grad;    // of the edges of one atom
};

template <typename T> class NativePoly : public Model {
  using P = Simd<T>;
  using V = Lanes<T>;
  static constexpr int W = P::width;

 public:
  NativePoly(PolyWeights weights, const Options &options) :
      w_(std::move(weights)), norms_(), harmonics_((w_.l_max + 1) * (w_.l_max + 1)), threads_(std::max(1, options.threads)),
      workspaces_(threads_), forces_(threads_)
  {
    for (const auto &program : w_.programs) programs_.emplace_back(program);
    for (int a = 0; a < w_.types(); ++a)
      for (int b = 0; b < w_.types(); ++b) radial_.emplace_back(w_.pair(a, b), w_.programs[w_.program[a]], w_.l_max, W);
    for (auto &s : workspaces_) s.waiting.resize(w_.programs.size());
    refer();
  }

  std::string engine() const override
  {
    return register_bytes == 64 ? "native, AVX-512" : register_bytes == 32 ? "native, AVX2" : "native";
  }

  void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad, Exchange *) override
  {
    std::fill_n(edge_grad, 3 * graph.n_edges(), 0.0);
    const int at_once = 4 * W;
    share((graph.n_owned + at_once - 1) / at_once, threads_, [&](int item, int thread) {
      PolyWorkspace<T> &s = workspaces_[thread];
      auto tile = [&](int program, int count) {
        for (int k = 0; k < count; ++k)
          s.atoms[k].vicinity.look(graph, s.atoms[k].index, w_.types(), cutoffs(s.atoms[k].type));
        double energy[W];
        evaluate_tile(program, count, s, energy, [&](int) { return edge_grad; });
        for (int k = 0; k < count; ++k) atomic_energy[s.atoms[k].index] = energy[k];
      };
      const int end = std::min(graph.n_owned, (item + 1) * at_once);
      for (int i = item * at_once; i < end; ++i) add(i, graph.types[i], s, tile);
      finish(s, tile);
    });
  }

  int committee() const override
  {
    for (const auto &program : w_.programs)
      if (!program.linear() || program.densities() != w_.programs[0].densities()) return 0;
    return w_.programs[0].densities() - 1;
  }

  void evaluate_committee(const Graph &graph, double *energy, double *const *force) override
  {
    PolyWorkspace<T> &s = workspaces_[0];
    const int members = committee();
    std::fill_n(energy, members, 0.0);
    auto tile = [&](int program, int count) {
      for (int k = 0; k < count; ++k) s.atoms[k].vicinity.look(graph, s.atoms[k].index, w_.types(), cutoffs(s.atoms[k].type));
      T *x = nodes(program, count, s), *G = room(s.G, std::size_t(tables_[program].nodes) * W);
      program_forward<P>(tables_[program], x);
      for (int m = 0; m < members; ++m) {
        const V energies = one_density<P>(tables_[program], m + 1, x, G);
        for (int k = 0; k < count; ++k) {
          auto &atom = s.atoms[k];
          energy[m] += w_.shift[atom.type] + double(energies[k]);
          const int64_t first = graph.first[atom.index], last = graph.first[atom.index + 1];
          double *grad = room(s.grad, 3 * std::size_t(last - first)) - 3 * first;    // of the edges from the first one on
          std::fill_n(grad + 3 * first, 3 * (last - first), 0.0);
          backward(atom, G + k, s, grad);
          for (int64_t e = first; e < last; ++e)
            for (int c = 0; c < 3; ++c) {
              force[m][3 * std::size_t(atom.index) + c] += grad[3 * e + c];
              force[m][3 * std::size_t(graph.neighbor[e]) + c] -= grad[3 * e + c];
            }
        }
      }
    };
    for (int i = 0; i < graph.n_owned; ++i) add(i, graph.types[i], s, tile);
    finish(s, tile);
  }

  bool walk(Surroundings &around) override
  {
    walk_in_parts(around, threads_, forces_, [&](Surroundings &mine, int thread, int begin, int end) {
      PolyWorkspace<T> &s = workspaces_[thread];
      auto tile = [&](int program, int count) {
        for (int k = 0; k < count; ++k) s.atoms[k].vicinity.look(mine, s.atoms[k].index, w_.types(), cutoffs(s.atoms[k].type));
        double energy[W];
        evaluate_tile(program, count, s, energy, [&](int k) { return s.atoms[k].vicinity.zeros(); });
        for (int k = 0; k < count; ++k) {
          s.atoms[k].vicinity.scatter(mine, s.atoms[k].index);
          mine.energy += energy[k];
          if (around.atomic_energy) around.atomic_energy[s.atoms[k].index] = energy[k];
        }
      };
      for (int i = begin; i < end; ++i) {
        const int element = around.element[around.type[i]];
        if (element >= 0) add(i, element, s, tile);
      }
      finish(s, tile);
    });
    return true;
  }

 protected:
  auto cutoffs(int type) const
  {
    return [this, type](int other) { return w_.pair(type, other).cutoff; };
  }

  /// Tiles of atoms of the same program, in order.
  template <typename Tile> void add(int i, int type, PolyWorkspace<T> &s, Tile &&tile) const
  {
    auto &waiting = s.waiting[w_.program[type]];
    waiting.emplace_back(i, type);
    if (int(waiting.size()) == W) begin(w_.program[type], s, tile);
  }

  template <typename Tile> void finish(PolyWorkspace<T> &s, Tile &&tile) const
  {
    for (std::size_t program = 0; program < s.waiting.size(); ++program)
      if (!s.waiting[program].empty()) begin(int(program), s, tile);
  }

  template <typename Tile> void begin(int program, PolyWorkspace<T> &s, Tile &&tile) const
  {
    auto &waiting = s.waiting[program];
    for (std::size_t k = 0; k < waiting.size(); ++k) s.atoms[k].index = waiting[k].first, s.atoms[k].type = waiting[k].second;
    const int count = int(waiting.size());
    waiting.clear();
    tile(program, count);
  }

  /// Energies (eV) of atoms that have looked around; adds to dE/d of the vectors. \param grad of the k-th atom
  template <typename Grad> void evaluate_tile(int program, int count, PolyWorkspace<T> &s, double *energy, Grad &&grad) const
  {
    const PolyTables<T> &t = tables_[program];
    T *x = nodes(program, count, s), *G = room(s.G, std::size_t(t.nodes) * W);
    PolySwitch near[W];
    for (int k = 0; k < count && !w_.inner.empty(); ++k) near[k] = nearest(s.atoms[k]);
    V excess = {};
    const V energies = w_.inner.empty() ? polynomial<P>(t, x, G) : polynomial<P>(t, x, G, near, &excess);
    for (int k = 0; k < count; ++k) {
      energy[k] = w_.shift[s.atoms[k].type] + double(energies[k]);
      double *gradient = grad(k);
      backward(s.atoms[k], G + k, s, gradient);
      if (near[k].slope != 0.0) turn_off(s.atoms[k], double(excess[k]) * near[k].slope, gradient);
    }
  }

  /// How close the nearest neighbour is to where its pair leaves the core alone.
  PolySwitch nearest(typename PolyWorkspace<T>::Atom &atom) const
  {
    double least = std::numeric_limits<double>::infinity(), width = 0.0;
    for (const auto &run : atom.near.runs) {
      const double *inner = &w_.inner[2 * (std::size_t(atom.type) * w_.types() + run.type)];
      for (int k = run.begin * W; k < run.end * W; ++k)
        if (atom.near.edge[k] >= 0 && atom.near.r[k] - inner[0] < least) least = atom.near.r[k] - inner[0], width = inner[1], atom.nearest = k;
    }
    return least < width ? PolySwitch(least, width) : PolySwitch();
  }

  /// Adds what follows from the distance of the nearest neighbour. \param along dE/dr
  static void turn_off(const typename PolyWorkspace<T>::Atom &atom, double along, double *edge_grad)
  {
    const int b = atom.nearest / W, lane = atom.nearest % W;
    for (int c = 0; c < 3; ++c) edge_grad[3 * atom.near.edge[atom.nearest] + c] += along * double(atom.near.direction(b)[c][lane]);
  }

  /// Nodes of a tile, of which the moments are complete.
  T *nodes(int program, int count, PolyWorkspace<T> &s) const
  {
    T *x = room(s.x, std::size_t(tables_[program].nodes) * W);
    std::fill_n(x, std::size_t(tables_[program].moments) * W, T(0));
    for (int k = 0; k < count; ++k) forward(s.atoms[k], x + k, s);
    return x;
  }

  /// Radial functions of an atom's neighbours, and its moments, added to a lane of x.
  void forward(typename PolyWorkspace<T>::Atom &atom, T *x, PolyWorkspace<T> &s) const
  {
    atom.near.fill(atom.vicinity, cutoffs(atom.type));
    std::size_t rows = 0;
    for (const auto &run : atom.near.runs) rows += std::size_t(run.end - run.begin) * pair(atom.type, run.type).functions;
    V *R = reinterpret_cast<V *>(room(atom.R, rows * W)), *dR = reinterpret_cast<V *>(room(atom.dR, rows * W));
    V *Y = reinterpret_cast<V *>(room(s.Y, std::size_t(atom.near.registers) * harmonics_ * W));
    Harmonics<P, poly_l_most> harmonics(norms_);
    for (int b = 0; b < atom.near.registers; ++b) harmonics.values(w_.l_max, atom.near.direction(b), Y + std::size_t(b) * harmonics_);
    for (const auto &run : atom.near.runs) {
      const auto &radial = pair(atom.type, run.type);
      const int F = radial.functions, registers = run.end - run.begin;
      T *value = room(s.value, std::size_t(radial.row) * W), *slope = room(s.slope, std::size_t(radial.row) * W);
      for (int b = 0; b < registers; ++b) {
        const double *r = atom.near.r.data() + std::size_t(run.begin + b) * W;
        const int64_t *edge = atom.near.edge.data() + std::size_t(run.begin + b) * W;
        for (int lane = 0; lane < W; ++lane)
          radial_functions<P>(radial, edge[lane] < 0 ? radial.cutoff : r[lane], value + lane * radial.row, slope + lane * radial.row);
        for (int f = 0; f < F; ++f) {
          V &v = R[b * F + f], &d = dR[b * F + f];
          for (int lane = 0; lane < W; ++lane) v[lane] = value[lane * radial.row + f], d[lane] = slope[lane * radial.row + f];
        }
        mask(edge, F, R + b * F, dR + b * F);
      }
      const V *y = Y + std::size_t(run.begin) * harmonics_;
      for (int l = 0; l <= w_.l_max; ++l)
        for (int first = radial.use_first[l]; first < radial.use_first[l + 1]; first += poly_tile) {
          const PolyUse *use = radial.use + first;
          const int N = std::min(poly_tile, radial.use_first[l + 1] - first);
          int function[poly_tile] = {};
          for (int n = 0; n < N; ++n) function[n] = use[n].function;
          for (int m = 0; m <= 2 * l; m += poly_tile)
            with_count<poly_tile>(N, [&]<int n>() {
              with_count<poly_tile>(std::min(poly_tile, 2 * l + 1 - m), [&]<int h>() {
                sum_moments<P, n, h>(R, F, function, y + l * l + m, harmonics_, registers,
                                     [&](int of, int at, T sum) { x[std::size_t(use[of].node + m + at) * W] += sum; });
              });
            });
        }
      R += std::size_t(registers) * F, dR += std::size_t(registers) * F;
    }
  }

  /// Adds dE/d of the vectors, from dE/d moments in a lane of G.
  void backward(typename PolyWorkspace<T>::Atom &atom, const T *G, PolyWorkspace<T> &s, double *edge_grad) const
  {
    const V *R = reinterpret_cast<const V *>(atom.R.data()), *dR = reinterpret_cast<const V *>(atom.dR.data());
    Harmonics<P, poly_l_most> harmonics(norms_);
    V Y[poly_harmonics], dY[poly_harmonics], du[3], out[3];
    for (const auto &run : atom.near.runs) {
      const auto &radial = pair(atom.type, run.type);
      const int F = radial.functions;
      V *dfunction = reinterpret_cast<V *>(room(s.dfunction, std::size_t(F) * W));
      for (int b = run.begin; b < run.end; ++b, R += F, dR += F) {
        const auto &u = atom.near.direction(b);
        harmonics.values(w_.l_max, u, Y);
        for (int h = 0; h < harmonics_; ++h) dY[h] = V{};
        for (int f = 0; f < F; ++f) dfunction[f] = V{};
        for (int l = 0; l <= w_.l_max; ++l)
          for (int first = radial.use_first[l]; first < radial.use_first[l + 1]; first += poly_tile)
            with_count<poly_tile>(std::min(poly_tile, radial.use_first[l + 1] - first),
                                  [&]<int n>() { moments_backward<P, n>(l, radial.use + first, G, W, R, Y, dY, dfunction); });
        V dr = {};
        for (int f = 0; f < F; ++f) dr += dfunction[f] * dR[f];
        harmonics.gradient(w_.l_max, dY, du);
        edge_gradient<P>(u, lanes(atom.near.length.data(), b), dr, du, out);
        atom.near.store(b, out[0], out[1], out[2], edge_grad);
      }
    }
  }

  /// Lanes without edge have no functions.
  static void mask(const int64_t *edge, int F, V *R, V *dR)
  {
    if (edge[W - 1] >= 0) return;
    for (int lane = 0; lane < W; ++lane)
      if (edge[lane] < 0)
        for (int f = 0; f < F; ++f) R[f][lane] = dR[f][lane] = T(0);
  }

  /// Calls act<N>() for a count up to `most`.
  template <int N, typename Act> static void with_count(int count, Act &&act)
  {
    if constexpr (N > 1) {
      if (count < N) return with_count<N - 1>(count, std::forward<Act>(act));
    }
    act.template operator()<N>();
  }

  const PolyRadialTable<T> &pair(int centre, int other) const { return pairs_[std::size_t(centre) * w_.types() + other]; }

  /// Pointers into the arrays anew.
  void refer()
  {
    tables_.clear(), pairs_.clear();
    for (const auto &program : programs_) tables_.push_back(program.tables());
    for (const auto &radial : radial_) pairs_.push_back(radial.table());
  }

  PolyWeights w_;
  const HarmonicNorms<T, poly_l_most> norms_;
  const int harmonics_, threads_;
  std::vector<PolyArrays<T>> programs_;
  std::vector<PolyRadialArrays<T, Buffer<T>>> radial_;
  std::vector<PolyTables<T>> tables_;
  std::vector<PolyRadialTable<T>> pairs_;
  std::vector<PolyWorkspace<T>> workspaces_;
  std::vector<Buffer<double>> forces_;    // of threads in a walk
};

}    // namespace metalff
