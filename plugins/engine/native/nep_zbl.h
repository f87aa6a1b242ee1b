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
    for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e) {
      const double *v = &graph.edge_vec[3 * e];
      energy += add(graph.types[i], graph.types[graph.neighbor[e]], v[0], v[1], v[2], grad + 3 * e);
    }
    return energy;
  }

  /// Half the energy of a pair of elements; adds to dE/d its vector.
  double add(int a, int b, double x, double y, double z, double *grad) const
  {
    const ZblPair &pair = pairs_[a * w_.types() + b];
    const double r2 = x * x + y * y + z * z;
    if (r2 >= pair.outer * pair.outer) return 0.0;
    const double r = std::sqrt(r2);
    double slope;
    const double energy = pair.half(r, slope);
    grad[0] += slope * x / r, grad[1] += slope * y / r, grad[2] += slope * z / r;
    return energy;
  }

 private:
  const NepWeights &w_;
  std::vector<ZblPair> pairs_;
};

}    // namespace metalff
