// A neuroevolution potential as GPUMD writes it (nep.txt), checked.
#pragma once

#include <array>
#include <string>
#include <vector>

namespace metalff {

struct Artifact;

/// Invariants of three densities, and the one of four: the words behind l_max (Fan et al., J. Chem. Phys. 157, 114801 (2022)).
enum class NepInvariant { Q222, Q1111, Q112, Q123, Q233, Q134 };
constexpr int nep_invariants = 6;

struct NepZbl {
  bool present = false, flexible = false;
  double inner = 0.0, outer = 0.0;              ///< Å
  double factor = 0.0;                          ///< > 0: outer is at most this times the sum of the radii, and inner zero
  std::vector<std::array<double, 10>> pairs;    ///< flexible: inner, outer, and four factors with their decays, by pair of elements
};

/// Matrices are row-major. Numbers of functions, not the largest index that nep.txt has.
struct NepWeights {
  int version = 4;
  std::vector<std::string> elements;
  std::vector<double> rc_radial, rc_angular;    ///< [types] Å; of a pair: the mean
  int n_radial = 0, n_angular = 0;              ///< radial functions of the descriptors
  int basis_radial = 0, basis_angular = 0;      ///< Chebyshev functions that they are made of
  int l_max = 0;
  std::array<bool, nep_invariants> has = {};
  int neurons = 0, dim = 0;
  std::vector<double> scale;                    ///< [dim] of the descriptors
  std::vector<double> w0, b0, w1, bias;         ///< [types, neurons, dim] for unscaled descriptors, [types, neurons] twice, [types]
  std::vector<double> c_radial, c_angular;      ///< [types, types, n, basis]
  NepZbl zbl;

  int types() const { return int(elements.size()); }

  std::vector<double> values;                   ///< what these were made of: the numbers of nep.txt before the scales, in its order
  std::size_t n_parameters() const;
  void assign(const double *parameters);

  /// For weights that hold derivatives: zeros, and parameters += factor times the derivatives by those of `model`, in the order of the file.
  void clear();
  void pull_back(const NepWeights &model, double factor, double *parameters) const;

  /// Throws Error with one sentence that names the line.
  static NepWeights read(const std::string &text, const std::string &name);

  /// The payload of an artefact; throws Error, too, where its elements, cutoff or layers are not those of the manifest.
  static NepWeights read(const std::string &text, const Artifact &artifact);

 private:
  /// Calls act(array, index in it, index in the file, factor: what is in the array per what is in the file) for every parameter but biases,
  /// and bias(type, index in the file).
  template <typename Act, typename Bias> void each(Act &&act, Bias &&bias) const;
};

}    // namespace metalff
