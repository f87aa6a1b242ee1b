// The parameters of a polynomial potential as the kernels of poly_atom.h want them. Host code.
#pragma once

#include "poly_atom.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace metalff {

/// Owns what a PolyRadialTable points to.
template <typename T, class Numbers = std::vector<T>> class PolyRadialArrays {
 public:
  /// \param width lanes
  PolyRadialArrays(const PolyRadial &r, const PolyProgram &program, int l_max, int width)
  {
    t_.first = r.first, t_.step = r.step, t_.cutoff = r.cutoff, t_.knots = r.knots, t_.functions = r.functions;
    t_.row = (r.functions + width - 1) / width * width;
    numbers.assign(std::size_t(3) * r.knots * t_.row, T(0));
    arrange(r);
    use_first.assign(1, 0);
    for (int l = 0; l <= l_max; ++l) {
      for (int f = 0; f < r.functions; ++f) {
        const auto &channel = program.channels[r.channel[f]];
        if (channel.l_first <= l && l <= channel.l_last) use.push_back({f, channel.node + l * l - channel.l_first * channel.l_first});
      }
      use_first.push_back(int(use.size()));
    }
  }

  /// Other functions at the same knots.
  void arrange(const PolyRadial &r)
  {
    const double unit[3] = {1.0, r.step, r.step * r.step};
    for (int k = 0; k < r.knots; ++k)
      for (int c = 0; c < 3; ++c)
        for (int f = 0; f < r.functions; ++f) {
          const std::size_t at = std::size_t(3) * k + c;
          numbers[at * t_.row + f] = T(unit[c] * r.table[at * r.functions + f]);
        }
  }

  PolyRadialTable<T> table() const
  {
    PolyRadialTable<T> t = t_;
    t.table = numbers.data(), t.use_first = use_first.data(), t.use = use.data();
    return t;
  }

 private:
  PolyRadialTable<T> t_;
  Numbers numbers;
  std::vector<int> use_first;
  std::vector<PolyUse> use;
};

/// Owns what PolyTables point to. Terms of the same nodes become one, in the order of their first node.
template <typename T> class PolyArrays {
 public:
  explicit PolyArrays(const PolyProgram &p)
  {
    t_.moments = p.moments, t_.nodes = p.nodes, t_.densities = p.densities(), t_.linear = p.linear();
    product_first.assign(p.nodes - p.moments + 1, 0);
    for (const auto &product : p.products) {
      ++product_first[product.out - p.moments + 1];
      a.push_back(product.a), b.push_back(product.b), factor.push_back(T(product.factor));
    }
    std::partial_sum(product_first.begin(), product_first.end(), product_first.begin());
    embedding = p.embedding;

    auto nodes = [&](int k) {
      const auto &term = p.terms[k];
      return term.b < 0 ? std::pair(term.a, -1) : std::pair(std::min(term.a, term.b), std::max(term.a, term.b));
    };
    std::vector<int> order(p.terms.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int x, int y) { return nodes(x) < nodes(y); });
    place_.resize(order.size());
    term_first.assign(p.nodes + 1, 0);
    std::pair<int, int> last(-1, -2);
    for (const int k : order) {
      const auto now = nodes(k);
      const bool line = now.second < 0;
      if (now != last) {
        last = now;
        if (line)
          linear_a.push_back(now.first);
        else
          term_b.push_back(now.second), ++term_first[now.first + 1];
      }
      place_[k] = line ? -int(linear_a.size()) : int(term_b.size()) - 1;
    }
    std::partial_sum(term_first.begin(), term_first.end(), term_first.begin());
    t_.linear_terms = int(linear_a.size()), t_.terms = int(term_b.size());
    arrange(p);
  }

  /// Other weights of the same terms.
  void arrange(const PolyProgram &p)
  {
    const int D = t_.densities;
    std::vector<double> sums(term_b.size() * D, 0.0), linear(linear_a.size() * D, 0.0);
    for (std::size_t k = 0; k < place_.size(); ++k)
      for (int d = 0; d < D; ++d) {
        const double w = p.weights[k * D + d];
        if (place_[k] < 0)
          linear[std::size_t(d) * linear_a.size() + std::size_t(-place_[k] - 1)] += w;
        else
          sums[std::size_t(d) * term_b.size() + std::size_t(place_[k])] += w;
      }
    weight.assign(sums.begin(), sums.end()), linear_weight.assign(linear.begin(), linear.end());
  }

  PolyTables<T> tables() const
  {
    PolyTables<T> t = t_;
    t.product_first = product_first.data(), t.a = a.data(), t.b = b.data(), t.factor = factor.data();
    t.term_first = term_first.data(), t.term_b = term_b.data(), t.weight = weight.data();
    t.linear_a = linear_a.data(), t.linear_weight = linear_weight.data(), t.embedding = embedding.data();
    return t;
  }

 private:
  PolyTables<T> t_;
  std::vector<int> product_first, a, b, term_first, term_b, linear_a;
  std::vector<T> factor, weight, linear_weight;
  std::vector<PolyProgram::Embedding> embedding;
  std::vector<int> place_;    // of each term of the payload: among terms, or, counted down from -1, among linear ones
};

}    // namespace metalff
