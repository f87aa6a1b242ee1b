// The screened nuclear repulsion of NEP.
#pragma once

#include "../graph.h"
#include "lanes.h"
#include "nep_weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace metalff {

/// Of one pair of elements.
struct ZblPair {
  double inner = 0.0, outer = 0.0, charge = 0.0;      // Å, Å, eV Å
  double factor[4] = {}, decay[4] = {};               // decay in 1/Å

  /// Ziegler, Biersack, Littmark, switched off between two distances: what one atom of the pair has of it, below the outer distance; and
  /// its derivative.
  METALFF_INLINE double half(double r, double &slope) const
  {
    double phi = 0.0, dphi = 0.0;
    for (int k = 0; k < 4; ++k) {
      const double term = factor[k] * std::exp(-decay[k] * r);
      phi += term, dphi -= decay[k] * term;
    }
    double cut = 1.0, dcut = 0.0;
    if (r > inner) {
      const double k = std::numbers::pi / (outer - inner);
      cut = 0.5 * (1.0 + std::cos(k * (r - inner))), dcut = -0.5 * k * std::sin(k * (r - inner));
    }
    const double bare = 0.5 * charge / r;
    slope = bare * (dphi * cut + phi * dcut - phi * cut / r);
    return bare * phi * cut;
  }
};

/// Half of the repulsion belongs to each atom of a pair.
class NepRepulsion {
 public:
  explicit NepRepulsion(const NepWeights &weights);

  /// [types, types]; empty: the model has none.
  const std::vector<ZblPair> &pairs() const { return pairs_; }

  /// Energy of atom i; adds to dE/d edge_vec of its edges.
  double add(const Graph &graph, int i, double *grad) const
  {
    double energy = 0.0;
    const int a = graph.types[i];
    for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e) {
      const ZblPair &pair = pairs_[a * w_.types() + graph.types[graph.neighbor[e]]];
      const double *v = &graph.edge_vec[3 * e], r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
      if (r2 >= pair.outer * pair.outer) continue;
      const double r = std::sqrt(r2);
      double slope;
      energy += pair.half(r, slope);
      for (int c = 0; c < 3; ++c) grad[3 * e + c] += slope * v[c] / r;
    }
    return energy;
  }

 private:
  const NepWeights &w_;
  std::vector<ZblPair> pairs_;
};

}    // namespace metalff
