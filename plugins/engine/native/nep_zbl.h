// The screened nuclear repulsion of NEP.
#pragma once

#include "../graph.h"
#include "nep_weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace metalff {

/// Ziegler, Biersack, Littmark, switched off between two distances; half of it belongs to each atom of a pair.
class NepRepulsion {
 public:
  explicit NepRepulsion(const NepWeights &weights);

  /// Energy of atom i; adds to dE/d edge_vec of its edges.
  double add(const Graph &graph, int i, double *grad) const
  {
    double energy = 0.0;
    const int a = graph.types[i];
    for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e) {
      const int b = graph.types[graph.neighbor[e]];
      const Pair &pair = pairs_[a * w_.types() + b];
      const double *v = &graph.edge_vec[3 * e], r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
      if (r2 >= pair.outer * pair.outer) continue;
      const double r = std::sqrt(r2);
      double phi = 0.0, dphi = 0.0;
      for (int k = 0; k < 4; ++k) {
        const double term = pair.factor[k] * std::exp(-pair.decay[k] * r);
        phi += term, dphi -= pair.decay[k] * term;
      }
      double cut = 1.0, dcut = 0.0;
      if (r > pair.inner) {
        const double k = std::numbers::pi / (pair.outer - pair.inner);
        cut = 0.5 * (1.0 + std::cos(k * (r - pair.inner))), dcut = -0.5 * k * std::sin(k * (r - pair.inner));
      }
      const double bare = 0.5 * pair.charge / r;
      energy += bare * phi * cut;
      const double slope = bare * (dphi * cut + phi * dcut - phi * cut / r);
      for (int c = 0; c < 3; ++c) grad[3 * e + c] += slope * v[c] / r;
    }
    return energy;
  }

 private:
  struct Pair {
    double inner = 0.0, outer = 0.0, charge = 0.0;      // Å, Å, eV Å
    double factor[4] = {}, decay[4] = {};               // decay in 1/Å
  };
  const NepWeights &w_;
  std::vector<Pair> pairs_;    // [types, types]
};

}    // namespace metalff
