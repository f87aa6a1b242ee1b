// The parameters of a neuroevolution potential as the kernels of nep_atom.h want them. Host code.
#pragma once

#include "nep_atom.h"
#include "nep_weights.h"

#include <algorithm>
#include <vector>

namespace metalff {

/// Owns what NepTables points to; numbers start at whole cache lines if those of Numbers do.
template <typename T, class Numbers = std::vector<T>> class NepArrays {
 public:
  /// \param width lanes
  /// \param group radial functions of the angular part that are kept together, in rows of `row`
  NepArrays(const NepWeights &w, int width, int group, int row)
  {
    auto padded = [&](int n) { return (n + width - 1) / width * width; };
    t_.types = w.types(), t_.n_radial = w.n_radial, t_.n_angular = w.n_angular, t_.basis_radial = w.basis_radial;
    t_.basis_angular = w.basis_angular, t_.l_max = w.l_max, t_.harmonics = (w.l_max + 1) * (w.l_max + 1);
    t_.neurons = w.neurons, t_.dim = w.dim;
    t_.J = padded(w.neurons), t_.K = padded(w.basis_radial), t_.N = padded(w.n_radial), t_.Q = padded(w.dim);
    t_.group = group, t_.row = row, t_.groups = (w.n_angular + group - 1) / group;
    for (int k = 0; k < nep_invariants; ++k) {
      if (!w.has[k]) continue;
      if (NepInvariant(k) == NepInvariant::Q1111) t_.invariants.quartic = t_.invariants.count;
      for (const auto &term : invariant_terms(NepInvariant(k))) terms.push_back({term.a, term.b, term.c, T(term.factor)});
      t_.invariants.first[++t_.invariants.count] = int(terms.size());
    }
    const std::size_t types = w.types(), pairs = types * types;
    std::size_t n = 0;
    auto place = [&](std::size_t size) { return std::exchange(n, n + (size + 15) / 16 * 16); };
    by_basis_ = place(pairs * w.basis_radial * t_.N), by_n_ = place(pairs * w.n_radial * t_.K);
    c_angular_ = place(pairs * w.basis_angular * t_.groups * row);
    forward_ = place(types * w.dim * t_.J), backward_ = place(types * w.neurons * t_.Q);
    b0_ = place(types * t_.J), w1_ = place(types * t_.J);
    numbers.assign(n, T(0));
    cutoffs = w.rc_radial;
    cutoffs.insert(cutoffs.end(), w.rc_angular.begin(), w.rc_angular.end());
    cutoffs.insert(cutoffs.end(), w.bias.begin(), w.bias.end());
    zbl = NepRepulsion(w).pairs();
    arrange(w);
  }

  /// Other parameters of the same model.
  void arrange(const NepWeights &w)
  {
    const std::size_t pairs = std::size_t(t_.types) * t_.types;
    T *at = numbers.data();
    for (std::size_t p = 0; p < pairs; ++p) {
      for (int n = 0; n < w.n_radial; ++n)
        for (int k = 0; k < w.basis_radial; ++k)
          at[by_basis_ + (p * w.basis_radial + k) * t_.N + n] = at[by_n_ + (p * w.n_radial + n) * t_.K + k] =
              T(w.c_radial[(p * w.n_radial + n) * w.basis_radial + k]);
      for (int n = 0; n < w.n_angular; ++n)
        for (int k = 0; k < w.basis_angular; ++k)
          at[c_angular_ + ((p * w.basis_angular + k) * t_.groups + n / t_.group) * t_.row + n % t_.group] =
              T(w.c_angular[(p * w.n_angular + n) * w.basis_angular + k]);
    }
    for (int t = 0; t < t_.types; ++t) {
      for (int j = 0; j < w.neurons; ++j) {
        const std::size_t neuron = std::size_t(t) * w.neurons + j;
        for (int d = 0; d < w.dim; ++d)
          at[forward_ + (std::size_t(t) * w.dim + d) * t_.J + j] = at[backward_ + neuron * t_.Q + d] = T(w.w0[neuron * w.dim + d]);
        at[b0_ + t * t_.J + j] = T(w.b0[neuron]), at[w1_ + t * t_.J + j] = T(w.w1[neuron]);
      }
      cutoffs[2 * t_.types + t] = w.bias[t];
    }
  }

  /// With copies of the arrays at other places, or with these.
  NepTables<T> tables(const T *at, const double *lengths, const InvariantTerm<T> *invariants, const ZblPair *pairs) const
  {
    NepTables<T> t = t_;
    t.by_basis = at + by_basis_, t.by_n = at + by_n_, t.c_angular = at + c_angular_, t.forward = at + forward_, t.backward = at + backward_;
    t.b0 = at + b0_, t.w1 = at + w1_;
    t.rc_radial = lengths, t.rc_angular = lengths + t.types, t.bias = lengths + 2 * t.types;
    t.invariants.terms = invariants;
    t.zbl = zbl.empty() ? nullptr : pairs;
    return t;
  }
  NepTables<T> tables() const { return tables(numbers.data(), cutoffs.data(), terms.data(), zbl.data()); }

  Numbers numbers;
  std::vector<double> cutoffs;    // radial, angular, and biases
  std::vector<InvariantTerm<T>> terms;
  std::vector<ZblPair> zbl;

 private:
  NepTables<T> t_;
  std::size_t by_basis_, by_n_, c_angular_, forward_, backward_, b0_, w1_;
};

}    // namespace metalff
