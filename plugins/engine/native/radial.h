// Radial functions of one layer: exact, or as quintic splines.
#pragma once

#include "gemm.h"
#include "mace_weights.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace metalff {

/// HERMITE: values, slopes and curvatures at the knots, exactly. B: coefficients from values at the knots alone, which RadialGradient sets.
enum class Splines { HERMITE, B };

/// Columns: path p, channel c at p·D + c (padded to registers); with a density one more register, its first lane the density.
/// In the first layer, whose features depend on the element alone, those of the neighbour are multiplied in.
template <typename T> class RadialFunctions {
 public:
  /// \param W lanes of a register
  RadialFunctions(const MaceWeights &weights, int layer, int knots, Splines kind = Splines::HERMITE, int W = width<T>) :
      kind(kind), w_(weights), layer_(weights.layers[layer]), first_(layer == 0), D_((layer_.channels + W - 1) / W * W),
      paths_(int(layer_.paths.size())), knots_(knots), tables_(std::size_t(w_.types) * w_.types)
  {
    columns_ = paths_ * D_ + (layer_.density.empty() ? 0 : W);
    if (first_) {
      source_.assign(std::size_t(w_.types) * layer_.channels, 0.0);
      for (int e = 0; e < w_.types; ++e)
        for (int c = 0; c < w_.channels; ++c)
          for (int d = 0; d < layer_.channels; ++d)
            source_[e * layer_.channels + d] += w_.embedding[e * w_.channels + c] * layer_.up[0][c * layer_.channels + d];
    }
    for (std::size_t i = 0; i < layer_.mlp.size(); ++i) {    // columns padded to registers of doubles
      const int in = layer_.mlp_widths[i], out = layer_.mlp_widths[i + 1], ld = padded<double>(out);
      Buffer<double> matrix(std::size_t(in) * ld, 0.0);
      for (int a = 0; a < in; ++a) std::copy_n(&layer_.mlp[i][std::size_t(a) * out], out, &matrix[std::size_t(a) * ld]);
      matrices_.push_back(std::move(matrix));
    }
  }

  const Splines kind;

  int columns() const { return columns_; }
  int channels() const { return D_; }
  int paths() const { return paths_; }
  int knots() const { return knots_; }
  bool splines() const { return knots_ > 0; }
  double spacing() const { return w_.r_max / (knots_ - 1); }
  bool same_for_all_centres() const { return w_.radial.transform == MaceRadial::Transform::NONE; }

  /// Makes the table of a pair of elements where it is missing.
  void prepare(int centre, int neighbor)
  {
    Buffer<T> &table = tables_[slot(centre, neighbor)];
    if (knots_ == 0 || !table.empty()) return;
    // curvatures from the exact slopes around each knot, to fourth order in a step of 1e-4 of the cutoff
    const double step = 1e-4 * w_.r_max, h = spacing();
    constexpr double factor[4] = {1.0 / 12, -8.0 / 12, 8.0 / 12, -1.0 / 12};
    const std::size_t row = columns_;
    std::vector<double> r(knots_), shifted(knots_), rows(knots_ * 2 * row), curvature(knots_ * row, 0.0);
    for (int k = 0; k < knots_; ++k) r[k] = std::max(3.0 * step, k * h);
    for (int s = 0; s < 4; ++s) {
      const double shift = (s < 2 ? s - 2 : s - 1) * step;
      for (int k = 0; k < knots_; ++k) shifted[k] = r[k] + shift;
      fill(centre, neighbor, shifted.data(), knots_, rows.data());
      for (int k = 0; k < knots_; ++k)
        for (std::size_t c = 0; c < row; ++c) curvature[k * row + c] += factor[s] / step * rows[(2 * k + 1) * row + c];
    }
    fill(centre, neighbor, r.data(), knots_, rows.data());
    table.resize(knots_ * 3 * row);
    for (int k = 0; k < knots_; ++k)
      for (std::size_t c = 0; c < row; ++c) {
        table[(3 * k) * row + c] = T(rows[2 * k * row + c]);
        table[(3 * k + 1) * row + c] = T(h * rows[(2 * k + 1) * row + c]);
        table[(3 * k + 2) * row + c] = T(h * h * curvature[k * row + c]);
      }
  }

  /// Rows [3, columns] per knot: value, slope · spacing, curvature · spacing².
  const T *table(int centre, int neighbor) const { return tables_[slot(centre, neighbor)].data(); }
  Buffer<T> &table(int slot) { return tables_[slot]; }
  int slots() const { return int(tables_.size()); }

  /// Rows [2, columns] of value and slope at distances r[n], exactly.
  template <typename Real> void fill(int centre, int neighbor, const double *r, int n, Real *rows) const
  {
    const int basis = int(w_.radial.weights.size());
    constexpr int batch = 64;
    Buffer<double> x(std::size_t(batch) * basis), dx(x.size()), y, dy;
    std::vector<double> cut(batch), dcut(batch);
    for (int begin = 0; begin < n; begin += batch) {
      const int rows_now = std::min(batch, n - begin);
      for (int k = 0; k < rows_now; ++k) embed(centre, neighbor, r[begin + k], &x[k * basis], &dx[k * basis], cut[k], dcut[k]);
      const double *a = x.data(), *da = dx.data();
      Buffer<double> hidden, dhidden;
      int in = basis, lda = basis;
      for (std::size_t i = 0; i < matrices_.size(); ++i) {
        const int out = layer_.mlp_widths[i + 1], ld = padded<double>(out);
        y.resize(std::size_t(batch) * ld), dy.resize(y.size());
        gemm(rows_now, ld, in, a, lda, matrices_[i].data(), ld, y.data(), ld);
        gemm(rows_now, ld, in, da, lda, matrices_[i].data(), ld, dy.data(), ld);
        if (i + 1 < matrices_.size())
          for (std::size_t k = 0; k < std::size_t(rows_now) * ld; ++k) {
            const double z = y[k], s = 1.0 / (1.0 + std::exp(-z));
            y[k] = z * s, dy[k] *= s * (1.0 + z * (1.0 - s));
          }
        hidden.swap(y), dhidden.swap(dy);
        a = hidden.data(), da = dhidden.data(), in = out, lda = ld;
      }
      for (int k = 0; k < rows_now; ++k) {
        Real *value = rows + std::size_t(begin + k) * 2 * columns_, *slope = value + columns_;
        std::fill_n(value, 2 * columns_, Real(0));
        const bool apart = !w_.radial.cutoff_on_basis;
        auto store = [&](int column, double v, double dv) {
          if (apart) dv = dv * cut[k] + v * dcut[k], v *= cut[k];
          value[column] = Real(v), slope[column] = Real(dv);
        };
        for (int p = 0; p < paths_; ++p)
          for (int d = 0; d < layer_.channels; ++d) {
            const std::size_t at = std::size_t(k) * lda + p * layer_.channels + d;
            const double source = first_ ? source_[neighbor * layer_.channels + d] : 1.0;
            store(p * D_ + d, source * a[at], source * da[at]);
          }
        if (!layer_.density.empty()) {
          double z = 0.0, dz = 0.0;
          for (int b = 0; b < basis; ++b) z += layer_.density[b] * x[k * basis + b], dz += layer_.density[b] * dx[k * basis + b];
          const double t = std::tanh(z * z);
          store(paths_ * D_, t, (1.0 - t * t) * 2.0 * z * dz);
        }
      }
    }
  }

  /// Of the table of a pair of elements.
  int slot(int centre, int neighbor) const
  {
    if (!same_for_all_centres()) return centre * w_.types + neighbor;
    return first_ ? neighbor : 0;    // then the centre's element does not matter, and beyond the first layer no element
  }

  /// [channels] what multiplies the functions of a neighbour in the first layer.
  const double *source(int neighbor) const { return &source_[std::size_t(neighbor) * layer_.channels]; }

  /// Basis functions (mace.modules.radial) and cutoff, with their slopes; continued smoothly beyond the cutoff, where no edge is.
  void embed(int centre, int neighbor, double r, double *x, double *dx, double &cut, double &dcut) const
  {
    const MaceRadial &radial = w_.radial;
    const double s = r / w_.r_max, p = radial.p;
    const double sp = std::pow(s, radial.p - 1);
    cut = 1.0 - (p + 1) * (p + 2) / 2 * sp * s + p * (p + 2) * sp * s * s - p * (p + 1) / 2 * sp * s * s * s;
    dcut = p * (p + 1) * (p + 2) / 2 * sp * (-1.0 + 2.0 * s - s * s) / w_.r_max;

    double t = r, dt = 1.0;
    const double radii = w_.covalent_radius[centre] + w_.covalent_radius[neighbor];
    if (radial.transform == MaceRadial::Transform::AGNESI) {
      const double y = 2.0 * r / radii, q = radial.q, e = radial.q - radial.agnesi_p;
      const double top = radial.a * std::pow(y, q), low = 1.0 + std::pow(y, e), f = 1.0 + top / low;
      const double df = (q * top / y * low - top * e * std::pow(y, e - 1.0)) / (low * low) * 2.0 / radii;
      t = 1.0 / f, dt = -df / (f * f);
    } else if (radial.transform == MaceRadial::Transform::SOFT) {
      const double p0 = 0.75 * radii, p1 = 4.0 / 3.0 * radii, alpha = radial.alpha / (p1 - p0);
      const double h = std::tanh(alpha * (r - 0.5 * (p0 + p1))), step = 0.5 * (1.0 + h);
      t = p0 + (r - p0) * step, dt = step + (r - p0) * 0.5 * alpha * (1.0 - h * h);
    }

    for (std::size_t b = 0; b < radial.weights.size(); ++b) {
      const double k = radial.weights[b];
      double v, dv;
      if (radial.basis == MaceRadial::Basis::BESSEL) {
        v = radial.factor * std::sin(k * t) / t;
        dv = radial.factor * k * std::cos(k * t) / t - v / t;
      } else {
        v = std::exp(radial.factor * (t - k) * (t - k));
        dv = 2.0 * radial.factor * (t - k) * v;
      }
      dv *= dt;
      if (radial.cutoff_on_basis) dv = dv * cut + v * dcut, v *= cut;
      x[b] = v, dx[b] = dv;
    }
  }

 private:
  const MaceWeights &w_;
  const MaceLayer &layer_;
  const bool first_;
  const int D_, paths_, knots_;
  int columns_ = 0;
  std::vector<double> source_;              // [types, D] first layer: features of a neighbour
  std::vector<Buffer<double>> matrices_;
  std::vector<Buffer<T>> tables_;
};

}    // namespace metalff
