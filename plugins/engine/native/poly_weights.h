// A polynomial potential, checked: linear polynomials (ACE), moment tensor potentials and PACE as one program.
#pragma once

#include <string>
#include <vector>

namespace metalff {

struct Artifact;

constexpr int poly_l_most = 12, poly_densities_most = 32;
constexpr int poly_core = 3;    // kind of an embedding: w ρ, in place of all others where a neighbour is close

/// Radial functions of an ordered pair of elements, the centre's first, at the knots of quintic splines.
struct PolyRadial {
  double first = 0.0, step = 0.0, cutoff = 0.0;    ///< Å; below the first knot functions are straight lines, from the cutoff on zero
  int knots = 0, functions = 0;                    ///< functions 0: such a pair does not interact
  std::vector<double> table;                       ///< [knots, 3, functions] value, slope (1/Å), curvature (1/Å²)
  std::vector<int> channel;                        ///< [functions] of the centre's program
};

/// What follows from the sums over neighbours. Node k is a number per atom: first the moments A_c,lm = Σ_j R_c(r_j) Y_lm(r_j), channel by channel,
/// then sums of products of earlier ones. ρ_p = Σ weight_p · node_a · node_b over terms, and the energy is Σ_p F_p(ρ_p).
struct PolyProgram {
  struct Channel {
    int l_first, l_last, node;    ///< of its first moment
  };
  struct Product {
    int a, b, out;                ///< b -1: of one factor; both below out
    double factor;
  };
  struct Term {
    int a, b;                     ///< b -1: of one factor
  };
  struct Embedding {
    int kind;
    double w, m;
  };
  std::vector<Channel> channels;
  int moments = 0, nodes = 0;
  std::vector<Product> products;          ///< by out
  std::vector<Term> terms;
  std::vector<Embedding> embedding;       ///< [densities]
  std::vector<double> weights;            ///< [terms, densities]
  std::vector<int> function;              ///< [terms] what basis function a term belongs to, ascending; empty: not known
  std::vector<double> factor;             ///< [terms] weight per coefficient of that function

  int densities() const { return int(embedding.size()); }
  /// Whether the energy is the first density. Any others are then those of a committee, which the energy does not depend on.
  bool linear() const
  {
    for (std::size_t p = 0; p < embedding.size(); ++p)
      if (embedding[p].kind != 0 || embedding[p].w != (p == 0 ? 1.0 : 0.0)) return false;
    return true;
  }
};

struct PolyWeights {
  std::vector<std::string> elements;
  double r_max = 0.0;                     ///< Å
  int l_max = 0;
  std::vector<double> shift;              ///< [types] eV of an atom alone
  std::vector<int> program;               ///< [types]
  std::vector<PolyRadial> pairs;          ///< [types, types]
  std::vector<PolyProgram> programs;
  std::vector<double> inner;              ///< [types, types, 2] Å: where the core alone is left, and how far beyond all else is whole; or empty

  int types() const { return int(elements.size()); }
  const PolyRadial &pair(int centre, int other) const { return pairs[std::size_t(centre) * types() + other]; }

  /// Throws Error with one sentence.
  static PolyWeights read(const std::string &bytes, const std::string &name);

  /// The payload of an artefact; throws Error, too, where its elements, cutoff or layers are not those of the manifest.
  static PolyWeights read(const std::string &bytes, const Artifact &artifact);
};

}    // namespace metalff
