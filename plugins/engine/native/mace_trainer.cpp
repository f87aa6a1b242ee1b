// Gradients of a MACE's energy by its parameters.
#include "../trainer.h"
#include "mace_gradient.h"
#include "mace_model.h"

namespace metalff {
namespace {

/// The engine with radial functions that follow the network at its knots; kernels are made again of every new set of parameters.
class MaceTrainer final : public Trainer, private NativeMace<double> {
 public:
  explicit MaceTrainer(MaceWeights weights) : NativeMace<double>(std::move(weights), Options()), slope_(w_), tiles_kept_(layers_), shortest_(w_.r_max)
  {
    for (const MaceLayer &layer : w_.layers)
      if (!layer.density.empty()) throw Error("the native engine trains no interactions with densities");
    w_.each_parameter([&](const std::vector<double> &array) { count_ += array.size(); });
    clear();
    arrange();
  }

  int layers() const override { return layers_; }
  std::size_t n_parameters() const override { return count_; }

  void get(double *parameters) const override
  {
    const_cast<MaceWeights &>(w_).each_parameter([&](const std::vector<double> &array) {
      parameters = std::copy(array.begin(), array.end(), parameters);
    });
  }

  void set(const double *parameters) override
  {
    w_.each_parameter([&](std::vector<double> &array) {
      std::copy_n(parameters, array.size(), array.begin());
      parameters += array.size();
    });
    arrange();
  }

  void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad) override
  {
    look_for_short_edges(graph);
    NativeMace<double>::evaluate(graph, atomic_energy, edge_grad, nullptr);
  }

  void add_gradient(const Graph &graph, double factor) override
  {
    look_for_short_edges(graph);
    begin(graph);
    for (int i = 0; i < graph.n_owned; ++i) slope_.energy[graph.types[i]] += factor;
    for (int k = 0; k < layers_; ++k) {
      room(tiles_kept_[k], layer(k).kept().size * tiles_[k].size());
      each_tile(graph, k, [&](const int *atoms, int count, int type, double *kept) {
        layer(k).forward(atoms, count, type, own_[k].data(), s(), kept + layer(k).kept().linear);
        layer(k).keep(s(), kept);
        if (k + 1 < layers_) return pass_on(k, atoms, count, s());
        double *dfeatures = room(s().dfeatures, layer(k).outputs().size());
        layer(k).readout_slope(count, kept + layer(k).kept().features, factor, s(), dfeatures);
        layer(k).backward_slope(graph, atoms, count, type, dfeatures, s(), kept, own_[k].data());
      });
    }
    for (int k = layers_ - 2; k >= 0; --k)
      each_tile(graph, k, [&](const int *atoms, int count, int type, double *kept) {
        const double *features = kept + layer(k).kept().features;
        double *dfeatures = room(s().dfeatures, layer(k).outputs().size());
        layer(k).readout_slope(count, features, factor, s(), dfeatures);
        receive(k, atoms, count, features, dfeatures);
        layer(k).backward_slope(graph, atoms, count, type, dfeatures, s(), kept, own_[k].data());
      });
  }

  void take_gradient(double *gradient) override
  {
    for (int k = 0; k < layers_; ++k) layer(k).pull_back(slope_);
    slope_.each_parameter([&](const std::vector<double> &array) {
      for (const double x : array) *gradient++ += x;
    });
    clear();
    for (int k = 0; k < layers_; ++k) layer(k).clear();
  }

 private:
  Workspace<double> &s() { return workspaces_[0]; }
  MaceLayerGradient &layer(int k) { return static_cast<MaceLayerGradient &>(*kernels_[k]); }

  void arrange()
  {
    for (int k = 0; k < layers_; ++k) kernels_[k] = std::make_unique<MaceLayerGradient>(w_, k, shortest_);
  }

  void clear()
  {
    slope_.each_parameter([](std::vector<double> &array) { std::fill(array.begin(), array.end(), 0.0); });
  }

  /// Tables reach down to the shortest edge so far.
  void look_for_short_edges(const Graph &graph)
  {
    double least = shortest_ * shortest_;
    for (int64_t e = 0; e < graph.n_edges(); ++e) {
      const double *v = &graph.edge_vec[3 * e], r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
      if (r2 < least) least = r2;
    }
    if (least == shortest_ * shortest_) return;
    shortest_ = 0.95 * std::sqrt(least);
    for (int k = 0; k < layers_; ++k) layer(k).reach(shortest_);
  }

  /// Calls work(atoms, count, type, what is kept of the tile) for all tiles of a layer, after its edges.
  template <typename Work> void each_tile(const Graph &graph, int k, Work &&work)
  {
    for (int tile = 0; tile < tiles_[k].size(); ++tile) {
      const int *atoms = &tiles_[k].atoms[tiles_[k].first[tile]], count = tiles_[k].count(tile), type = tiles_[k].type[tile];
      s().laps.start(k);
      layer(k).edges(graph, atoms, count, type, sent_[k].data(), dsent_[k].data(), s());
      work(atoms, count, type, &tiles_kept_[k][layer(k).kept().size * tile]);
    }
  }

  /// From what the next layer says of a tile's features, sent and its own, to dE/d features.
  void receive(int k, const int *atoms, int count, const double *features, double *dfeatures)
  {
    MaceLayerGradient &next = layer(k + 1);
    const TileShape out = layer(k).outputs();
    double *rows = room(s().dproduct, std::size_t(tile_atoms) * next.sent_width());
    for (int l = 0; l <= next.l_in(); ++l) {
      const int n = 2 * l + 1, C = out.channels, D = next.sent_channels();
      double *d = dfeatures + out.start(l);
      for (int a = 0; a < count; ++a) {
        const double *own = &own_[k + 1][std::size_t(atoms[a]) * next.own_width() + l * l * C];
        for (int c = 0; c < n * C; ++c) d[std::size_t(a) * n * C + c] += own[c];
        std::copy_n(&dsent_[k + 1][std::size_t(atoms[a]) * next.sent_width() + l * l * D], n * D, rows + std::size_t(a) * n * D);
      }
      next.receive_slope(count * n, l, features + out.start(l), rows, d);
    }
  }

  std::size_t count_ = 0;
  MaceWeights slope_;    // dE/d parameters
  std::vector<Buffer<double>> tiles_kept_;
  double shortest_;      // Å
};

}    // namespace
}    // namespace metalff

extern "C" __attribute__((visibility("default"))) metalff::Trainer *metalff_train_native_mace(const std::string &payload)
{
  return new metalff::MaceTrainer(metalff::MaceWeights::read(payload, "mace"));
}
