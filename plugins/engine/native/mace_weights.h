// The weights of a MACE model as deploy/mace_weights.py writes them, checked.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

namespace metalff {

struct Artifact;

/// Radial basis, cutoff and distance transform (Batatia et al., NeurIPS 35 (2022), eq. 7; mace.modules.radial).
struct MaceRadial {
  enum class Basis { BESSEL, GAUSSIAN } basis = Basis::BESSEL;
  enum class Transform { NONE, AGNESI, SOFT } transform = Transform::NONE;
  std::vector<double> weights;         ///< frequencies (1/Å) or centres (Å)
  double factor = 1.0;                 ///< before the basis, or in the exponent of the Gaussians
  int p = 5;                           ///< of the polynomial cutoff
  bool cutoff_on_basis = true;         ///< the cutoff multiplies the basis, else the radial functions
  double q = 0.0, agnesi_p = 0.0, a = 0.0, alpha = 0.0;
};

/// Screened nuclear repulsion of mace.modules.radial.ZBLBasis.
struct MaceZbl {
  bool present = false;
  int p = 0;
  double exponent = 0.0, length = 0.0;
  double factor[4] = {};               ///< of the four exponentials
};

/// One layer. Matrices are row-major [in, out]; D channels of messages, C of features.
struct MaceLayer {
  struct Path {
    int l1, l2, l3;
    std::vector<double> cg;    ///< [2l1+1, 2l2+1, 2l3+1]
  };
  struct Product {
    std::vector<std::array<int, 4>> terms;    ///< component m; feature indices i ≤ j ≤ k, -1: none
    std::vector<double> weights;              ///< [product_types, terms, C]
    std::vector<double> post;                 ///< [C, C]
  };
  int channels = 0;                             ///< D
  int l_in = 0, l_mid = 0, l_out = 0;           ///< largest l of the features it starts from, of its messages and of its features
  std::vector<Path> paths;
  std::vector<std::vector<double>> mlp;         ///< [in, out] each
  std::vector<int> mlp_widths;
  std::vector<double> density;                  ///< [radial]; empty: divided by a constant
  std::vector<std::vector<double>> up;          ///< [l_in + 1][C, D]
  std::vector<std::vector<double>> linear;      ///< [l_mid + 1][linear_types, paths that end on l * D, C]
  std::vector<std::vector<double>> skip;        ///< [min(l_in, l_out) + 1][types, C, C]; empty: none
  std::vector<Product> product;                 ///< [l_out + 1]
  int linear_types = 1, product_types = 1;
  std::vector<double> readout, readout2;        ///< [C, H] and [H]; H = 1 and empty: linear; both empty: none
  int hidden = 0;                               ///< H
};

struct MaceWeights {
  int types = 0, channels = 0, l_max = 0;
  double r_max = 0.0;
  MaceRadial radial;
  MaceZbl zbl;
  std::vector<double> energy, embedding, atomic_number, covalent_radius;    ///< [types], [types, C], [types], [types] Å
  std::vector<MaceLayer> layers;

  /// Calls act(array) for all that training may change, in the order of deploy/mace_weights.py: energy, embedding, and of each layer
  /// up, mlp, linear, skip, product, post, readout.
  template <typename Act> void each_parameter(Act &&act)
  {
    act(energy), act(embedding);
    for (MaceLayer &layer : layers) {
      for (auto *arrays : {&layer.up, &layer.mlp, &layer.linear, &layer.skip})
        for (auto &array : *arrays) act(array);
      for (auto &product : layer.product) act(product.weights);
      for (auto &product : layer.product) act(product.post);
      act(layer.readout), act(layer.readout2);
    }
  }

  /// Throws Error with one sentence where the payload is not what it should be.
  static MaceWeights read(const std::string &bytes, const std::string &name);

  /// The payload of an artefact; throws Error, too, where its elements, cutoff or layers are not those of the manifest.
  static MaceWeights read(const std::string &bytes, const Artifact &artifact);
};

}    // namespace metalff
