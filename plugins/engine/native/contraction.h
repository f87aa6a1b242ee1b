// The product basis: for every channel the same polynomial, of degree ≤ 3, in the (l, m) features of an atom.
#pragma once

#include "contraction_kernel.h"
#include "mace_weights.h"
#include "simd.h"

namespace metalff {

/// A PolynomialTable and what training asks of it.
template <typename T> class Polynomial {
 public:
  /// \param channels of the weights, padded with zeros to whole registers
  /// \param W lanes of a register
  Polynomial(const MaceLayer::Product &product, int types, int channels, int W = width<T>) : terms_(int(product.terms.size()))
  {
    const int registers = (channels + W - 1) / W;
    weights_.assign(std::size_t(types) * registers * terms_ * W, T(0));
    for (int type = 0; type < types; ++type)
      for (int t = 0; t < terms_; ++t)
        for (int c = 0; c < channels; ++c)
          weights_[((std::size_t(type) * registers + c / W) * terms_ + t) * W + c % W] =
              T(product.weights[(std::size_t(type) * terms_ + t) * channels + c]);
    registers_ = registers;

    for (int t = 0; t < terms_; ++t) {
      const auto [m, i, j, k] = product.terms[t];
      if (singles_.empty() || singles_.back().m != m || singles_.back().i != i)
        singles_.push_back({m, i, -1, int(pairs_.size()), int(pairs_.size())});
      Single &single = singles_.back();
      if (j < 0) {
        single.weight = t;
        continue;
      }
      if (single.begin == single.end || pairs_.back().j != j) {
        pairs_.push_back({j, -1, t + (k < 0), t + (k < 0)});
        ++single.end;
      }
      if (k < 0)
        pairs_.back().weight = t;
      else
        ++pairs_.back().end;
    }
    for (const auto &term : product.terms) last_.push_back(term[3]);
  }

  /// Weights of the v-th register of channels.
  const T *weights(int type, int v) const { return &weights_[start(type, v)]; }

  PolynomialTable<T> view() const
  {
    return {terms_, registers_, int(singles_.size()), singles_.data(), pairs_.data(), last_.data(), weights_.data()};
  }

  template <int count>
  void forward(const T *weights, const Lanes<T> (*x)[count], Lanes<T> (*y)[count]) const
  {
    polynomial_forward<Simd<T>, count>(view(), weights, x, y);
  }
  template <int count>
  void backward(const T *weights, const Lanes<T> (*x)[count], const Lanes<T> (*g)[count], Lanes<T> (*dx)[count]) const
  {
    polynomial_backward<Simd<T>, count>(view(), weights, x, g, dx);
  }

  /// dweights += Σ_m Σ_atoms g[m] dy[m]/dweights, in the arrangement of weights().
  template <int count>
  void slope(const Lanes<T> (*x)[count], const Lanes<T> (*g)[count], T *dweights) const
  {
    auto add = [&](int weight, const Lanes<T> (&y)[count], const Lanes<T> (&z)[count]) {
      Lanes<T> sum = y[0] * z[0];
      for (int a = 1; a < count; ++a) sum += y[a] * z[a];
      lanes(dweights, weight) += sum;
    };
    for (const Single &single : singles_) {
      Lanes<T> gi[count];
      for (int a = 0; a < count; ++a) gi[a] = g[single.m][a] * x[single.i][a];
      if (single.weight >= 0) add(single.weight, g[single.m], x[single.i]);
      for (int p = single.begin; p < single.end; ++p) {
        const Pair &pair = pairs_[p];
        Lanes<T> gij[count];
        for (int a = 0; a < count; ++a) gij[a] = gi[a] * x[pair.j][a];
        if (pair.weight >= 0) add(pair.weight, gi, x[pair.j]);
        for (int q = pair.begin; q < pair.end; ++q) add(q, gij, x[last_[q]]);
      }
    }
  }

  std::size_t size() const { return weights_.size(); }
  std::size_t start(int type, int v) const { return (std::size_t(type) * registers_ + v) * terms_ * width<T>; }

  /// values [types, terms, channels] += numbers in the arrangement of weights().
  void unpack(const Buffer<T> &numbers, int channels, double *values) const
  {
    constexpr int W = width<T>;
    const int types = int(weights_.size() / (std::size_t(registers_) * terms_ * W));
    for (int type = 0; type < types; ++type)
      for (int t = 0; t < terms_; ++t)
        for (int c = 0; c < channels; ++c)
          values[(std::size_t(type) * terms_ + t) * channels + c] += double(numbers[start(type, c / W) + std::size_t(t) * W + c % W]);
  }

  int terms() const { return terms_; }
  int pairs() const { return int(pairs_.size()); }

 private:
  using Single = typename PolynomialTable<T>::Single;
  using Pair = typename PolynomialTable<T>::Pair;

  int terms_, registers_ = 0;
  std::vector<Single> singles_;
  std::vector<Pair> pairs_;
  std::vector<int> last_;    // [terms] feature of the third factor
  Buffer<T> weights_;        // [types, registers, terms, width]
};

}    // namespace metalff
