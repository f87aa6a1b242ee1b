// The weights of MACE as kernels on a device read them: plain numbers and pointers into one block of memory. For any number of lanes.
#pragma once

#include "mace_kernels.h"
#include "mace_weights.h"

#include <cstddef>
#include <vector>

namespace metalff {

/// Linear maps, one per element or one for all: [in, out] and its transpose, padded to whole registers.
template <typename T> struct LinearTable {
  int in = 0, out = 0, types = 0;
  const T *matrix = nullptr, *transposed = nullptr;

  METALFF_INLINE std::size_t of(int type) const { return types > 1 ? std::size_t(type) * in * out : 0; }
};

template <typename T> struct MaceLayerTable {
  int C, D;                                   // channels of features and of messages, padded
  int l_in, l_mid, l_out, types, product_types;
  int n_paths, columns, knots, has_density, has_readout, n_skips;
  double r_max, spacing;
  std::size_t message_start[mace_l_most + 2];    // per atom: messages of l; in the end their size
  const PathPlan *paths;
  CouplingTable<T> couplings;
  ProductTable<T> product;
  ReadoutTable<T> readout;
  LinearTable<T> linear[mace_l_most + 1], up[mace_l_most + 1], skip[mace_l_most + 1], post[mace_l_most + 1];
  const T *radial;                            // rows [knots, 3, columns] of the pairs of elements that have them
  const int *pair;                            // [types, types] which of these; -1: none
  const T *start;                             // [types, C] first layer: what the skip connection adds; null: nothing

  METALFF_INLINE int sent_width() const { return (l_in + 1) * (l_in + 1) * D; }
  METALFF_INLINE std::size_t messages() const { return message_start[l_mid + 1]; }

  /// Calls act(pointer) for all of them.
  template <typename Act> void each_pointer(Act &&act)
  {
    act(paths), act(couplings.couplings), act(couplings.norms), act(radial), act(pair), act(start);
    act(readout.matrix), act(readout.transposed), act(readout.second);
    for (auto *maps : {&linear, &up, &skip, &post})
      for (auto &map : *maps) act(map.matrix), act(map.transposed);
    for (auto &polynomial : product.of) act(polynomial.singles), act(polynomial.pairs), act(polynomial.last), act(polynomial.weights);
  }
};

template <typename T> struct MaceTables {
  std::vector<MaceLayerTable<T>> layers;    // pointers count from the beginning of the block; null stays null
  std::vector<std::byte> block;
};

/// \param lanes   of a register
/// \param knots   of the radial splines; -1: as many as the engine of a processor takes
/// \param present [types] elements that the run has; pairs of others get no radial functions
template <typename T> MaceTables<T> mace_tables(const MaceWeights &weights, int lanes, int knots, const std::vector<char> &present);

/// Screened nuclear repulsion between two atoms (mace.modules.radial.ZBLBasis): half of its energy, and the slope of that.
struct MaceZblPair {
  double za, zb, end;    // atomic numbers; sum of the covalent radii, Å
};
METALFF_INLINE bool mace_zbl(const MaceZbl &z, const MaceZblPair &pair, double r, double &energy, double &slope)
{
  if (r >= pair.end) return false;
  const double decay[4] = {3.2, 0.9423, 0.4028, 0.2016};
  const double length = z.length / (std::pow(pair.za, z.exponent) + std::pow(pair.zb, z.exponent));
  double phi = 0.0, dphi = 0.0;
  for (int k = 0; k < 4; ++k) {
    const double term = z.factor[k] * std::exp(-decay[k] * r / length);
    phi += term, dphi -= decay[k] / length * term;
  }
  const double s = r / pair.end, p = z.p, sp = std::pow(s, z.p - 1);
  const double cut = 1.0 - (p + 1) * (p + 2) / 2 * sp * s + p * (p + 2) * sp * s * s - p * (p + 1) / 2 * sp * s * s * s;
  const double dcut = p * (p + 1) * (p + 2) / 2 * sp * (-1.0 + 2.0 * s - s * s) / pair.end;
  const double bare = 0.5 * 14.3996 * pair.za * pair.zb / r;
  energy = bare * phi * cut;
  slope = bare * (dphi * cut + phi * dcut - phi * cut / r);
  return true;
}

}    // namespace metalff
