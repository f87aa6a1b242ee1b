// Radial functions of one layer as B-splines through the values of its network at the knots, and gradients back to the network.
#pragma once

#include "mace_layer.h"

namespace metalff {

/// Tables of RadialFunctions<double> in the form Splines::B. A spline's coefficient is a weighed sum of the values at five knots
/// (quasi-interpolation of order 6), so that dE/d values follow from dE/d table, and the network is gone through once per knot, not per edge.
class RadialGradient {
 public:
  RadialGradient(const MaceWeights &weights, int layer, RadialFunctions<double> &radial) :
      w_(weights), layer_(weights.layers[layer]), first_(layer == 0), radial_(radial), rows_(radial.knots() + 4), D_(radial.channels()),
      sums_(radial.slots()), networks_(radial.same_for_all_centres() ? 1 : radial.slots())
  {
    for (std::size_t i = 0; i < layer_.mlp.size(); ++i)
      maps_.emplace_back(layer_.mlp[i].data(), layer_.mlp_widths[i], layer_.mlp_widths[i + 1]);
  }

  /// No edge is shorter: knots further below are left out.
  void reach(double shortest)
  {
    const int lowest = std::clamp(int(shortest / radial_.spacing()) - below, 0, rows_ - 1);
    if (lowest == lowest_) return;
    lowest_ = lowest;
    for (int slot = 0; slot < radial_.slots(); ++slot) radial_.table(slot).clear();
    networks_.assign(networks_.size(), {});
  }

  void prepare(int centre, int neighbor)
  {
    const int slot = radial_.slot(centre, neighbor);
    Buffer<double> &table = radial_.table(slot);
    if (!table.empty()) return;
    const std::size_t row = radial_.columns();
    const Network &net = network(centre, neighbor);
    room(values_, rows_ * row);
    for (int j = lowest_; j < rows_; ++j) {
      double *value = values_.data() + j * row;
      std::fill_n(value, row, 0.0);
      each_function(net, neighbor, j, [&](int column, std::size_t at, double factor, double source) {
        value[column] = factor * source * net.layers.back()[at];
      });
    }
    table.assign(rows_ * row, 0.0);
    for (int j = lowest_; j < rows_; ++j)
      for_each_value(j, [&](int k, double weight) {
        for (std::size_t c = 0; c < row; ++c) table[j * row + c] += weight * values_[k * row + c];
      });
    if (sums_[slot].empty()) sums_[slot].assign(rows_ * row, 0.0);
  }

  /// dE/d table of a pair of elements, to be summed into.
  double *sums(int centre, int neighbor) { return sums_[radial_.slot(centre, neighbor)].data(); }

  void clear()
  {
    for (auto &sum : sums_) std::fill(sum.begin(), sum.end(), 0.0);
  }

  /// Adds the gradients by the parameters of this layer; of the first one also those by embedding and up.
  void pull_back(MaceWeights &slope)
  {
    const std::size_t row = radial_.columns();
    Buffer<double> dsource(std::size_t(w_.types) * layer_.channels, 0.0);
    for (int centre = 0; centre < w_.types; ++centre)
      for (int neighbor = 0; neighbor < w_.types; ++neighbor) {
        const Buffer<double> &sum = sums_[radial_.slot(centre, neighbor)];
        if (sum.empty() || (radial_.same_for_all_centres() && (centre || (!first_ && neighbor)))) continue;
        values_.assign(rows_ * row, 0.0);
        for (int j = lowest_; j < rows_; ++j)
          for_each_value(j, [&](int k, double weight) {
            for (std::size_t c = 0; c < row; ++c) values_[k * row + c] += weight * sum[j * row + c];
          });
        Network &net = network(centre, neighbor);
        if (net.slope.empty()) net.slope.assign(net.layers.back().size(), 0.0);
        for (int j = lowest_; j < rows_; ++j)
          each_function(net, neighbor, j, [&](int column, std::size_t at, double factor, double source) {
            const double g = factor * values_[j * row + column];
            net.slope[at] += source * g;
            if (first_) dsource[std::size_t(neighbor) * layer_.channels + column % D_] += g * net.layers.back()[at];
          });
      }
    for (Network &net : networks_)
      if (!net.slope.empty()) backward(net, slope.layers[&layer_ - w_.layers.data()]);
    if (!first_) return;
    const int C = w_.channels, D = layer_.channels;
    for (int e = 0; e < w_.types; ++e)
      for (int c = 0; c < C; ++c)
        for (int d = 0; d < D; ++d) {
          slope.embedding[e * C + c] += dsource[e * D + d] * layer_.up[0][c * D + d];
          slope.layers[0].up[0][c * D + d] += dsource[e * D + d] * w_.embedding[e * C + c];
        }
  }

 private:
  static constexpr int below = 8;    // knots under the shortest edge: splines two further down, values two below these, and a margin

  /// Activations at all knots: basis, hidden layers, radial functions.
  struct Network {
    std::vector<Buffer<double>> layers, bend;    // [rows, padded width]; derivatives of the hidden layers by their arguments
    std::vector<double> cut;
    Buffer<double> slope;                        // dE/d radial functions
  };

  /// Calls act(row of values, weight) for the five values that make the coefficient of spline j.
  template <typename Act> void for_each_value(int j, Act &&act) const
  {
    constexpr double weights[5] = {13.0 / 240, -112.0 / 240, 438.0 / 240, -112.0 / 240, 13.0 / 240};
    for (int s = 0; s < 5; ++s) act(std::clamp(j + s - 2, lowest_, rows_ - 1), weights[s]);
  }

  /// Calls act(column of the table, place in the network's output, cutoff, factor of the neighbour) for all functions at knot j.
  template <typename Act> void each_function(const Network &net, int neighbor, int j, Act &&act) const
  {
    const double factor = w_.radial.cutoff_on_basis ? 1.0 : net.cut[j], *source = first_ ? radial_.source(neighbor) : nullptr;
    const std::size_t start = std::size_t(j) * maps_.back().out;
    for (int p = 0; p < radial_.paths(); ++p)
      for (int d = 0; d < layer_.channels; ++d) act(p * D_ + d, start + p * layer_.channels + d, factor, source ? source[d] : 1.0);
  }

  Network &network(int centre, int neighbor)
  {
    Network &net = networks_[radial_.same_for_all_centres() ? 0 : radial_.slot(centre, neighbor)];
    if (!net.layers.empty()) return net;
    const int basis = int(w_.radial.weights.size()), n = rows_ - lowest_;
    net.cut.assign(rows_, 0.0);
    net.layers.resize(maps_.size() + 1), net.bend.resize(maps_.size());
    net.layers[0].assign(std::size_t(rows_) * maps_[0].in, 0.0);
    std::vector<double> unused(basis);
    for (int j = lowest_; j < rows_; ++j) {    // there is no edge as short as the first knots
      double none;
      radial_.embed(centre, neighbor, std::max(j, 1) * radial_.spacing(), &net.layers[0][std::size_t(j) * maps_[0].in], unused.data(),
                    net.cut[j], none);
    }
    for (std::size_t i = 0; i < maps_.size(); ++i) {
      const std::size_t out = maps_[i].out, begin = lowest_ * out;
      Buffer<double> &y = net.layers[i + 1];
      y.resize(rows_ * out);
      maps_[i].forward(n, &net.layers[i][std::size_t(lowest_) * maps_[i].in], &y[begin]);
      if (i + 1 == maps_.size()) break;
      net.bend[i].resize(rows_ * out);
      for (std::size_t k = begin; k < rows_ * out; ++k) {
        const double z = y[k], s = 1.0 / (1.0 + std::exp(-z));
        y[k] = z * s, net.bend[i][k] = s * (1.0 + z * (1.0 - s));
      }
    }
    return net;
  }

  void backward(Network &net, MaceLayer &slope)
  {
    const int n = rows_ - lowest_;
    Buffer<double> dy = std::move(net.slope), dx, dmatrix;
    net.slope = {};
    for (std::size_t i = maps_.size(); i-- > 0;) {
      const std::size_t in = maps_[i].in, begin = lowest_ * in;
      const double *g = &dy[std::size_t(lowest_) * maps_[i].out];
      dmatrix.assign(maps_[i].matrix.size(), 0.0);
      maps_[i].slope(n, &net.layers[i][begin], g, dmatrix);
      maps_[i].unpack(dmatrix, slope.mlp[i].data(), layer_.mlp_widths[i], layer_.mlp_widths[i + 1]);
      if (i == 0) break;
      dx.resize(rows_ * in);
      maps_[i].backward(n, g, &dx[begin]);
      for (std::size_t k = begin; k < rows_ * in; ++k) dx[k] *= net.bend[i - 1][k];
      dy.swap(dx);
    }
  }

  const MaceWeights &w_;
  const MaceLayer &layer_;
  const bool first_;
  RadialFunctions<double> &radial_;
  const int rows_, D_;    // rows: knots, and four beyond the cutoff
  int lowest_ = 0;
  std::vector<Linear<double>> maps_;
  std::vector<Buffer<double>> sums_;
  std::vector<Network> networks_;
  Buffer<double> values_;
};

}    // namespace metalff
