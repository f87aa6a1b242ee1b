// MACE (Batatia et al., NeurIPS 35 (2022)) written down by hand. Compiled once per instruction set, each a library of its own
// (mlff_native_*.so); model.cpp loads the best that the processor runs.
#pragma once

#include "../error.h"
#include "../model.h"
#include "mace_layer.h"
#include "mace_tables.h"
#include "threads.h"

#include <numeric>

namespace metalff {

/// Nuclear repulsion (Ziegler, Biersack, Littmark) up to the sum of the covalent radii; half of it belongs to each atom.
class Zbl {
 public:
  explicit Zbl(const MaceWeights &weights) : w_(weights) {}

  void add(const Graph &graph, double *energy, double *grad) const
  {
    for (int i = 0; i < graph.n_owned; ++i)
      for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e) {
        const int a = graph.types[i], b = graph.types[graph.neighbor[e]];
        const double *v = &graph.edge_vec[3 * e], r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
        double half, slope;
        if (r >= w_.r_max ||
            !mace_zbl(w_.zbl, {w_.atomic_number[a], w_.atomic_number[b], w_.covalent_radius[a] + w_.covalent_radius[b]}, r, half, slope))
          continue;
        energy[i] += half;
        for (int c = 0; c < 3; ++c) grad[3 * e + c] += slope * v[c] / r;
      }
  }

 private:
  const MaceWeights &w_;
};

/// Centres of a layer in tiles of one element each.
struct Tiles {
  std::vector<int> atoms, first, type;    // first: [tiles + 1]

  void make(const Graph &graph, int count, int types)
  {
    std::vector<int> start(types + 1, 0);
    for (int i = 0; i < count; ++i) ++start[graph.types[i] + 1];
    std::partial_sum(start.begin(), start.end(), start.begin());
    const std::vector<int> ends = start;
    atoms.resize(count);
    for (int i = 0; i < count; ++i) atoms[start[graph.types[i]]++] = i;
    first.clear(), type.clear();
    for (int t = 0; t < types; ++t)
      for (int at = ends[t]; at < ends[t + 1]; at += tile_atoms) first.push_back(at), type.push_back(t);
    first.push_back(count);
  }
  int size() const { return int(type.size()); }
  int count(int tile) const
  {
    // the last tile of an element ends where the next element begins
    return first[tile + 1] - first[tile];
  }
};

template <typename T> class NativeMace : public Model {
 public:
  NativeMace(MaceWeights weights, const Options &options) :
      w_(std::move(weights)), zbl_(w_), threads_(std::max(1, options.threads)), layers_(int(w_.layers.size())),
      workspaces_(threads_), tiles_(layers_), kept_(layers_), sent_(layers_), own_(layers_), dsent_(layers_)
  {
    const int knots = options.knots < 0 ? default_knots<T> : options.knots;
    for (int k = 0; k < layers_; ++k) kernels_.push_back(std::make_unique<MaceLayerKernels<T>>(w_, k, knots));
  }

  std::string engine() const override
  {
    return register_bytes == 64 ? "native, AVX-512" : register_bytes == 32 ? "native, AVX2" : "native";
  }

  std::vector<Part> profile() const override
  {
    std::vector<Part> parts;
    for (int k = 0; k < layers_; ++k)
      for (int p = 0; p < layer_parts; ++p) {
        Part part{k, layer_part_names[p], 0.0, 0.0};
        for (const auto &workspace : workspaces_)
          if (const std::size_t at = k * layer_parts + p; at < workspace.laps.sums.size())
            part.seconds += workspace.laps.sums[at].seconds, part.flops += workspace.laps.sums[at].flops;
        parts.push_back(part);
      }
    return parts;
  }

  int feature_width() const override
  {
    int most = 0;
    for (const auto &kernels : kernels_) most = std::max(most, kernels->sent_width());
    return most;
  }

  Need memory(const Graph &graph) override
  {
    double need = 0.0;
    auto add = [&](const Buffer<T> &buffer, double want) { need += std::max(0.0, 1.1 * want - double(buffer.capacity())) * sizeof(T); };
    for (int k = 0; k < layers_; ++k) {
      const MaceLayerKernels<T> &layer = *kernels_[k];
      if (k + 1 < layers_) add(kept_[k], double(graph.reach[layers_ - 1 - k]) / tile_atoms * layer.kept_size());
      add(sent_[k], double(graph.n_nodes) * layer.sent_width());
      add(dsent_[k], double(graph.n_nodes) * layer.sent_width() * threads_);
      add(own_[k], double(graph.n_nodes) * layer.own_width());
    }
    return {need, 0.0};
  }

  void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad, Exchange *exchange) override
  {
    std::exception_ptr failure;    // other ranks wait in the exchanges: fail after them
    auto attempt = [&](auto &&work) {
      if (failure) return;
      try {
        work();
      } catch (...) {
        failure = std::current_exception();
      }
    };
    attempt([&] { begin(graph, atomic_energy, edge_grad); });
    for (int k = 0; k + 1 < layers_; ++k) {
      attempt([&] { forward(graph, k, atomic_energy); });
      if (exchange) exchanged(graph, k + 1, failure, [&](double *rows, int width) { exchange->forward(rows, width); }, sent_[k + 1]);
    }
    attempt([&] { last(graph, atomic_energy, edge_grad); });
    for (int k = layers_ - 2; k >= 0; --k) {
      if (exchange) exchanged(graph, k + 1, failure, [&](double *rows, int width) { exchange->reverse(rows, width); }, dsent_[k + 1]);
      attempt([&] { backward(graph, k, edge_grad); });
    }
    if (failure) std::rethrow_exception(failure);
  }

 protected:
  int centres(const Graph &graph, int k) const { return graph.reach[layers_ - 1 - k]; }

  void begin(const Graph &graph, double *atomic_energy, double *edge_grad)
  {
    std::fill_n(edge_grad, 3 * graph.n_edges(), 0.0);
    for (int i = 0; i < graph.n_nodes; ++i) atomic_energy[i] = i < graph.n_owned ? w_.energy[graph.types[i]] : 0.0;
    if (w_.zbl.present) zbl_.add(graph, atomic_energy, edge_grad);
    begin(graph);
  }

  /// Radial functions, tiles and room for a graph; sums start at zero.
  void begin(const Graph &graph)
  {
    std::vector<char> present(w_.types, 0);
    for (int i = 0; i < graph.n_nodes; ++i) present[graph.types[i]] = 1;
    for (int k = 0; k < layers_; ++k) {
      kernels_[k]->prepare(present);
      tiles_[k].make(graph, centres(graph, k), w_.types);
      const std::size_t sent = std::size_t(graph.n_nodes) * kernels_[k]->sent_width();
      if (k + 1 < layers_) room(kept_[k], kernels_[k]->kept_size() * tiles_[k].size());
      room(sent_[k], sent);
      std::fill_n(room(dsent_[k], sent * threads_), sent * threads_, T(0));
      const std::size_t own = std::size_t(graph.n_nodes) * kernels_[k]->own_width();
      std::fill_n(room(own_[k], own), own, T(0));
    }
  }

  /// Calls work(tile, thread) for all tiles of a layer.
  template <typename Work> void over_tiles(int k, Work &&work) { share(tiles_[k].size(), threads_, work); }

  T *dsent(const Graph &graph, int k, int thread)
  {
    return dsent_[k].data() + std::size_t(thread) * graph.n_nodes * kernels_[k]->sent_width();
  }

  /// Features of a layer, readout, and what the next one starts from.
  void forward(const Graph &graph, int k, double *atomic_energy)
  {
    const MaceLayerKernels<T> &layer = *kernels_[k], &next = *kernels_[k + 1];
    over_tiles(k, [&](int tile, int thread) {
      Workspace<T> &s = workspaces_[thread];
      const int *atoms = &tiles_[k].atoms[tiles_[k].first[tile]], count = tiles_[k].count(tile), type = tiles_[k].type[tile];
      s.laps.start(k);
      layer.edges(graph, atoms, count, type, sent_[k].data(), nullptr, s);
      layer.forward(atoms, count, type, own_[k].data(), s, &kept_[k][layer.kept_size() * tile]);
      double energy[tile_atoms];
      layer.readout(count, s, energy, room(s.dfeatures, layer.outputs().size()));
      add_energy(graph, atoms, count, energy, atomic_energy);
      pass_on(k, atoms, count, s);
      s.laps.lap(LayerPart::UPDATE, count * next.send_flops());
    });
  }

  /// From the features of a tile to what the next layer starts from.
  void pass_on(int k, const int *atoms, int count, Workspace<T> &s)
  {
    const MaceLayerKernels<T> &layer = *kernels_[k], &next = *kernels_[k + 1];
    T *rows = room(s.dproduct, std::size_t(tile_atoms) * next.sent_width());
    for (int l = 0; l <= next.l_in(); ++l) {
      const T *features = s.features.data() + layer.outputs().start(l);
      const int n = 2 * l + 1, C = layer.outputs().channels, D = next.sent_channels();
      next.send(count * n, l, features, rows);
      for (int a = 0; a < count; ++a) {
        std::copy_n(features + std::size_t(a) * n * C, n * C, &own_[k + 1][std::size_t(atoms[a]) * next.own_width() + l * l * C]);
        std::copy_n(rows + std::size_t(a) * n * D, n * D, &sent_[k + 1][std::size_t(atoms[a]) * next.sent_width() + l * l * D]);
      }
    }
  }

  void add_energy(const Graph &graph, const int *atoms, int count, const double *energy, double *atomic_energy) const
  {
    for (int a = 0; a < count; ++a)
      if (atoms[a] < graph.n_owned) atomic_energy[atoms[a]] += energy[a];
  }

  void last(const Graph &graph, double *atomic_energy, double *edge_grad)
  {
    const int k = layers_ - 1;
    const MaceLayerKernels<T> &layer = *kernels_[k];
    over_tiles(k, [&](int tile, int thread) {
      Workspace<T> &s = workspaces_[thread];
      const int *atoms = &tiles_[k].atoms[tiles_[k].first[tile]], count = tiles_[k].count(tile), type = tiles_[k].type[tile];
      s.laps.start(k);
      layer.edges(graph, atoms, count, type, sent_[k].data(), dsent(graph, k, thread), s);
      T *kept = room(s.linear, layer.kept_size());
      layer.forward(atoms, count, type, own_[k].data(), s, kept);
      double energy[tile_atoms];
      T *dfeatures = room(s.dfeatures, layer.outputs().size());
      layer.readout(count, s, energy, dfeatures);
      add_energy(graph, atoms, count, energy, atomic_energy);
      layer.backward(atoms, count, type, dfeatures, s, kept, own_[k].data(), edge_grad);
    });
    gather_threads(graph, k);
  }

  void backward(const Graph &graph, int k, double *edge_grad)
  {
    const MaceLayerKernels<T> &layer = *kernels_[k], &next = *kernels_[k + 1];
    over_tiles(k, [&](int tile, int thread) {
      Workspace<T> &s = workspaces_[thread];
      const int *atoms = &tiles_[k].atoms[tiles_[k].first[tile]], count = tiles_[k].count(tile), type = tiles_[k].type[tile];
      s.laps.start(k);
      T *dfeatures = room(s.dfeatures, layer.outputs().size());
      s.features.resize(std::max(s.features.size(), layer.outputs().size()));
      readout_gradient(graph, layer, atoms, count, s, dfeatures);
      T *rows = room(s.dproduct, std::size_t(tile_atoms) * next.sent_width());
      for (int l = 0; l <= next.l_in(); ++l) {
        T *d = dfeatures + layer.outputs().start(l);
        const int n = 2 * l + 1, C = layer.outputs().channels, D = next.sent_channels();
        for (int a = 0; a < count; ++a) {
          const T *own = &own_[k + 1][std::size_t(atoms[a]) * next.own_width() + l * l * C];
          if (atoms[a] < centres(graph, k + 1))
            for (int c = 0; c < n * C; ++c) d[std::size_t(a) * n * C + c] += own[c];
          std::copy_n(&dsent_[k + 1][std::size_t(atoms[a]) * next.sent_width() + l * l * D], n * D, rows + std::size_t(a) * n * D);
        }
        next.receive(count * n, l, rows, d);
      }
      s.laps.lap(LayerPart::UPDATE_BACK, count * next.send_flops());
      layer.edges(graph, atoms, count, type, sent_[k].data(), dsent(graph, k, thread), s);
      layer.backward(atoms, count, type, dfeatures, s, &kept_[k][layer.kept_size() * tile], own_[k].data(), edge_grad);
    });
    gather_threads(graph, k);
  }

  /// dE/d features through a linear readout, of the atoms whose energy counts.
  void readout_gradient(const Graph &graph, const MaceLayerKernels<T> &layer, const int *atoms, int count, Workspace<T> &s, T *d) const
  {
    double energy[tile_atoms];
    layer.readout(count, s, energy, d);
    for (int a = 0; a < count; ++a)
      if (atoms[a] >= graph.n_owned) std::fill_n(d + std::size_t(a) * layer.outputs().channels, layer.outputs().channels, T(0));
  }

  void gather_threads(const Graph &graph, int k)
  {
    const std::size_t n = std::size_t(graph.n_nodes) * kernels_[k]->sent_width();
    for (int thread = 1; thread < threads_; ++thread)
      for (std::size_t c = 0; c < n; ++c) dsent_[k][c] += dsent_[k][thread * n + c];
  }

  template <typename Act>
  void exchanged(const Graph &graph, int k, std::exception_ptr &failure, Act &&act, Buffer<T> &rows)
  {
    const int width = kernels_[k]->sent_width();
    const std::size_t n = std::size_t(graph.n_nodes) * width;
    reserve_for(wide_, n);
    if (!failure) std::copy_n(rows.data(), n, wide_.data());
    act(wide_.data(), width);
    if (!failure)
      for (std::size_t c = 0; c < n; ++c) rows[c] = T(wide_[c]);
  }

  MaceWeights w_;
  const Zbl zbl_;
  const int threads_, layers_;
  std::vector<std::unique_ptr<MaceLayerKernels<T>>> kernels_;
  std::vector<Workspace<T>> workspaces_;
  std::vector<Tiles> tiles_;
  // by layer: what backward() needs; what neighbours receive and dE/d of it (by thread); the nodes' own features, later dE/d of them
  std::vector<Buffer<T>> kept_, sent_, own_, dsent_;
  std::vector<double> wide_;    // rows in float64 for an exchange
};

}    // namespace metalff
