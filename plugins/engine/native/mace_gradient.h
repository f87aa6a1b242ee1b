// One layer of MACE and the gradients of the energy by its parameters.
#pragma once

#include "radial_gradient.h"

namespace metalff {

/// Sums over atoms and edges of dE/d parameters, in the arrangement of the kernels, where they cost least.
class MaceLayerGradient final : public MaceLayerKernels<double> {
  using T = double;

 public:
  static constexpr int knots = 256;

  /// What backward() needs of forward(), of one tile.
  struct Kept {
    std::size_t messages, linear, product, features, size;    // their places
  };

  MaceLayerGradient(const MaceWeights &weights, int k, double shortest) :
      MaceLayerKernels<T>(weights, k, knots, Splines::B), k_(k), radial_gradient_(weights, k, radial_)
  {
    radial_gradient_.reach(shortest);
    const auto zeros = [](const std::vector<Linear<T>> &maps) {
      std::vector<Buffer<T>> sums;
      for (const auto &map : maps) sums.emplace_back(map.matrix.size(), 0.0);
      return sums;
    };
    dlinear_ = zeros(linear_), dup_ = zeros(up_), dskip_ = zeros(skip_), dpost_ = zeros(post_);
    for (const auto &polynomial : polynomials_) dpolynomial_.emplace_back(polynomial.size(), 0.0);
    dreadout_.assign(readout_.matrix.size(), 0.0);
    dreadout2_.assign(readout2_.size(), 0.0);
    dembedding_.assign(embedding_.size(), 0.0);
    const std::size_t mid = TileShape{C, layer_.l_mid}.size(), out = outputs().size();
    kept_ = {0, message_size_, message_size_ + mid, message_size_ + mid + out, message_size_ + mid + 2 * out};
  }

  const Kept &kept() const { return kept_; }

  /// After forward() of a tile, whose `kept` was at the place `linear`.
  void keep(const Workspace<T> &s, T *kept) const
  {
    std::copy_n(s.messages.data(), message_size_, kept + kept_.messages);
    std::copy_n(s.product.data(), outputs().size(), kept + kept_.product);
    std::copy_n(s.features.data(), outputs().size(), kept + kept_.features);
  }

  /// dE/d features of factor times the energy that the readout gives.
  void readout_slope(int count, const T *features, double factor, Workspace<T> &s, T *dfeatures)
  {
    std::fill_n(dfeatures, outputs().size(), 0.0);
    if (layer_.readout.empty()) return;
    T *hidden = room(s.hidden, std::size_t(tile_atoms) * readout_.out);
    if (readout2_.empty()) {
      std::fill_n(hidden, std::size_t(count) * readout_.out, 0.0);
      for (int a = 0; a < count; ++a) hidden[std::size_t(a) * readout_.out] = factor;
    } else {
      readout_.forward(count, features, hidden);
      for (int a = 0; a < count; ++a) {
        T *z = hidden + std::size_t(a) * readout_.out;
        for (int h = 0; h < layer_.hidden; ++h) {
          const T sigmoid = 1 / (1 + std::exp(-z[h]));
          dreadout2_[h] += factor * z[h] * sigmoid;
          z[h] = factor * readout2_[h] * sigmoid * (1 + z[h] * (1 - sigmoid));
        }
        std::fill(z + layer_.hidden, z + readout_.out, 0.0);
      }
    }
    readout_.slope(count, features, hidden, dreadout_);
    readout_.backward(count, hidden, dfeatures);
  }

  /// As receive(), with the features that were sent.
  void receive_slope(int rows, int l, const T *features, const T *dsent, T *dfeatures)
  {
    up_[l].slope(rows, features, dsent, dup_[l]);
    receive(rows, l, dsent, dfeatures);
  }

  /// From dE/d features of the tile to sums of dE/d parameters, to dE/d the neighbours' features (dsent) and to those of its own
  /// (written over `own`). The edges are those of the last edges().
  void backward_slope(const Graph &graph, const int *atoms, int count, int type, const T *dfeatures, Workspace<T> &s, const T *kept, T *own)
  {
    const TileShape mid{C, layer_.l_mid}, out = outputs();
    const T *messages = kept + kept_.messages, *linears = kept + kept_.linear, *product = kept + kept_.product;
    T *dproduct = room(s.dproduct, out.size());
    for (int l = 0; l <= layer_.l_out; ++l) {
      const int rows = count * (2 * l + 1);
      post_[l].slope(rows, product + out.start(l), dfeatures + out.start(l), dpost_[l]);
      post_[l].backward(rows, dfeatures + out.start(l), dproduct + out.start(l));
    }
    skip_slope(atoms, count, type, dfeatures, s, own);

    T *dlinear = room(s.dlinear, mid.size());
    each_register(linears, count, [&]<int n>(int v, int a, const Lanes<T>(*x)[n]) {
      Lanes<T> dx[(mace_l_most + 1) * (mace_l_most + 1)][n] = {};
      for (int l = 0; l <= layer_.l_out; ++l) {
        Lanes<T> g[2 * mace_l_most + 1][n];
        for (int m = 0; m < 2 * l + 1; ++m)
          for (int b = 0; b < n; ++b) g[m][b] = lanes(dproduct + out.start(l) + std::size_t((a + b) * (2 * l + 1) + m) * C, v);
        polynomials_[l].template backward<n>(polynomials_[l].weights(product_type(type), v), x, g, dx);
        polynomials_[l].template slope<n>(x, g, &dpolynomial_[l][polynomials_[l].start(product_type(type), v)]);
      }
      for (int l = 0; l <= layer_.l_mid; ++l)
        for (int m = 0; m < 2 * l + 1; ++m)
          for (int b = 0; b < n; ++b) lanes(dlinear + mid.start(l) + std::size_t((a + b) * (2 * l + 1) + m) * C, v) = dx[l * l + m][b];
    });

    T *dmessages = room(s.dmessages, message_size_);
    for (int l = 0; l <= layer_.l_mid; ++l) {
      const int rows = count * (2 * l + 1);
      linear(l, type).slope(rows, messages + message_start_[l], dlinear + mid.start(l), dlinear_[&linear(l, type) - linear_.data()]);
      linear(l, type).backward(rows, dlinear + mid.start(l), dmessages + message_start_[l]);
    }
    edge_slopes(graph, count, type, s, dmessages);
  }

  /// No edge is shorter.
  void reach(double shortest) { radial_gradient_.reach(shortest); }

  /// Sums start again at zero.
  void clear()
  {
    for (auto *sums : {&dlinear_, &dup_, &dskip_, &dpost_, &dpolynomial_})
      for (auto &sum : *sums) std::fill(sum.begin(), sum.end(), 0.0);
    for (auto *sum : {&dreadout_, &dreadout2_, &dembedding_}) std::fill(sum->begin(), sum->end(), 0.0);
    radial_gradient_.clear();
  }

  /// Adds what was summed to the gradient.
  void pull_back(MaceWeights &slope)
  {
    MaceLayer &layer = slope.layers[k_];
    const int channels = w_.channels;
    for (std::size_t l = 0; l < up_.size(); ++l) up_[l].unpack(dup_[l], layer.up[l].data(), channels, layer_.channels);
    for (int l = 0; l <= layer_.l_mid; ++l)
      for (int t = 0; t < layer_.linear_types; ++t) {
        const int at = l * layer_.linear_types + t, rows = int(layer_.linear[l].size() / layer_.linear_types / channels);
        linear_[at].unpack(dlinear_[at], &layer.linear[l][std::size_t(t) * rows * channels], rows, channels, rows / layer_.channels);
      }
    for (std::size_t l = 0; l < layer_.skip.size(); ++l)
      for (int t = 0; t < w_.types; ++t) {
        const std::size_t at = l * w_.types + t;
        skip_[at].unpack(dskip_[at], &layer.skip[l][std::size_t(t) * channels * channels], channels, channels);
      }
    for (int l = 0; l <= layer_.l_out; ++l) {
      polynomials_[l].unpack(dpolynomial_[l], channels, layer.product[l].weights.data());
      post_[l].unpack(dpost_[l], layer.product[l].post.data(), channels, channels);
    }
    if (!layer_.readout.empty()) readout_.unpack(dreadout_, layer.readout.data(), channels, layer_.hidden);
    for (std::size_t h = 0; h < dreadout2_.size(); ++h) layer.readout2[h] += dreadout2_[h];
    for (int t = 0; first_ && t < w_.types; ++t)
      for (int c = 0; c < channels; ++c) slope.embedding[t * channels + c] += dembedding_[t * C + c];
    radial_gradient_.pull_back(slope);
  }

 protected:
  void prepare(int centre, int neighbor) override { radial_gradient_.prepare(centre, neighbor); }

 private:
  void skip_slope(const int *atoms, int count, int type, const T *dfeatures, Workspace<T> &s, T *own)
  {
    const TileShape out = outputs();
    const int skips = int(layer_.skip.size());
    T *x = room(s.skipped, out.size());
    if (first_ && skips) {    // the same features for all atoms of the tile
      Buffer<T> sum(C, 0.0), back(C);
      for (int a = 0; a < count; ++a)
        for (int c = 0; c < C; ++c) sum[c] += dfeatures[std::size_t(a) * C + c];
      skip_[type].slope(1, &embedding_[type * C], sum.data(), dskip_[type]);
      skip_[type].backward(1, sum.data(), back.data());
      for (int c = 0; c < C; ++c) dembedding_[type * C + c] += back[c];
    }
    for (int l = 0; l <= layer_.l_in && !first_; ++l) {
      const int n = 2 * l + 1;
      const std::size_t map = std::size_t(l) * w_.types + type;
      auto each_atom = [&](auto &&act) {
        for (int a = 0; a < count; ++a) act(own + std::size_t(atoms[a]) * own_width() + l * l * C, x + std::size_t(a) * n * C);
      };
      if (l >= skips) {
        each_atom([&](T *mine, T *) { std::fill_n(mine, n * C, 0.0); });
        continue;
      }
      each_atom([&](const T *mine, T *row) { std::copy_n(mine, n * C, row); });
      skip_[map].slope(count * n, x, dfeatures + out.start(l), dskip_[map]);
      skip_[map].backward(count * n, dfeatures + out.start(l), x);
      each_atom([&](T *mine, const T *row) { std::copy_n(row, n * C, mine); });
    }
  }

  void edge_slopes(const Graph &graph, int count, int type, Workspace<T> &s, const T *dmessages)
  {
    constexpr int W = width<T>;
    const std::size_t columns = radial_.columns();
    T *value = room(s.radial, 2 * columns), *dvalue = value + columns;
    for (int a = 0; a < count; ++a)
      for (int e = s.first[a]; e < s.first[a + 1]; ++e) {
        const Edge<T> &edge = s.edges[e];
        if (!first_)
          for (std::size_t v = 0; v < columns / W; ++v) lanes(value, v) = hermite<P>(edge.row, columns, v, s.weights[e].value);
        for (std::size_t p = 0; p < plans_.size(); ++p) {
          const PathPlan &path = plans_[p];
          const std::size_t stride = linear(path.l3, type).in;
          const T *grad = dmessages + message_start_[path.l3] + std::size_t(a) * (2 * path.l3 + 1) * stride + path.target;
          each_path(path, [&]<int l1, int l3, bool first>() {
            slope_path<P, l1, l3, first>(edge, value + path.radial, s.angular.of(e) + path.angular * W, D, grad, stride, dvalue + path.radial);
          });
        }
        const int neighbor = graph.types[graph.neighbor[s.edge[e]]];
        T *sums = radial_gradient_.sums(type, neighbor) + (edge.row - radial_.table(type, neighbor));
        for (int k = 0; k < hermite_rows; ++k)
          for (std::size_t v = 0; v < columns / W; ++v) lanes(sums + k * columns, v) += s.weights[e].value[k] * lanes(dvalue, v);
      }
  }

  const int k_;
  RadialGradient radial_gradient_;
  Kept kept_;
  std::vector<Buffer<T>> dlinear_, dup_, dskip_, dpost_, dpolynomial_;
  Buffer<T> dreadout_, dreadout2_, dembedding_;
};

}    // namespace metalff
