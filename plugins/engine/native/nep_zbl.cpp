#include "nep_zbl.h"

#include "../error.h"

#include <string_view>

namespace metalff {
namespace {

struct Element {
  std::string_view symbol;
  double radius;
};

/// Covalent radii in Å of P. Pyykkö and M. Atsumi (Chem. Eur. J. 15, 186 (2009)), those of metals shortened by a tenth (S. Grimme et al.,
/// J. Chem. Phys. 132, 154104 (2010)), by atomic number.
constexpr Element elements[] = {
    {"H", 0.32}, {"He", 0.46}, {"Li", 1.2}, {"Be", 0.94}, {"B", 0.77}, {"C", 0.75}, {"N", 0.71}, {"O", 0.63},
    {"F", 0.64}, {"Ne", 0.67}, {"Na", 1.4}, {"Mg", 1.25}, {"Al", 1.13}, {"Si", 1.04}, {"P", 1.1}, {"S", 1.02},
    {"Cl", 0.99}, {"Ar", 0.96}, {"K", 1.76}, {"Ca", 1.54}, {"Sc", 1.33}, {"Ti", 1.22}, {"V", 1.21}, {"Cr", 1.1},
    {"Mn", 1.07}, {"Fe", 1.04}, {"Co", 1}, {"Ni", 0.99}, {"Cu", 1.01}, {"Zn", 1.09}, {"Ga", 1.12}, {"Ge", 1.09},
    {"As", 1.15}, {"Se", 1.1}, {"Br", 1.14}, {"Kr", 1.17}, {"Rb", 1.89}, {"Sr", 1.67}, {"Y", 1.47}, {"Zr", 1.39},
    {"Nb", 1.32}, {"Mo", 1.24}, {"Tc", 1.15}, {"Ru", 1.13}, {"Rh", 1.13}, {"Pd", 1.08}, {"Ag", 1.15}, {"Cd", 1.23},
    {"In", 1.28}, {"Sn", 1.26}, {"Sb", 1.26}, {"Te", 1.23}, {"I", 1.32}, {"Xe", 1.31}, {"Cs", 2.09}, {"Ba", 1.76},
    {"La", 1.62}, {"Ce", 1.47}, {"Pr", 1.58}, {"Nd", 1.57}, {"Pm", 1.56}, {"Sm", 1.55}, {"Eu", 1.51}, {"Gd", 1.52},
    {"Tb", 1.51}, {"Dy", 1.5}, {"Ho", 1.49}, {"Er", 1.49}, {"Tm", 1.48}, {"Yb", 1.53}, {"Lu", 1.46}, {"Hf", 1.37},
    {"Ta", 1.31}, {"W", 1.23}, {"Re", 1.18}, {"Os", 1.16}, {"Ir", 1.11}, {"Pt", 1.12}, {"Au", 1.13}, {"Hg", 1.32},
    {"Tl", 1.3}, {"Pb", 1.3}, {"Bi", 1.36}, {"Po", 1.31}, {"At", 1.38}, {"Rn", 1.42}, {"Fr", 2.01}, {"Ra", 1.81},
    {"Ac", 1.67}, {"Th", 1.58}, {"Pa", 1.52}, {"U", 1.53}, {"Np", 1.54}, {"Pu", 1.55}};

/// Four thirds of a radius, in six figures: what a factor of a cutoff is of.
double scaled(double radius)
{
  const double x = 4.0 / 3.0 * radius, figures = x < 1.0 ? 1e6 : 1e5;
  return std::round(x * figures) / figures;
}

int atomic_number(const std::string &symbol)
{
  for (std::size_t k = 0; k < std::size(elements); ++k)
    if (elements[k].symbol == symbol) return int(k) + 1;
  throw Error("the potential has a ZBL part and an element '" + symbol + "', but ZBL is known from H to Pu");
}

}    // namespace

NepRepulsion::NepRepulsion(const NepWeights &weights) : w_(weights)
{
  if (!w_.zbl.present) return;
  const int types = w_.types();
  pairs_.resize(std::size_t(types) * types);
  for (int a = 0; a < types; ++a)
    for (int b = 0; b < types; ++b) {
      constexpr double universal[8] = {0.18175, 3.1998, 0.50986, 0.94229, 0.28022, 0.4029, 0.02817, 0.20162};
      const int za = atomic_number(w_.elements[a]), zb = atomic_number(w_.elements[b]);
      const double per_length = (std::pow(za, 0.23) + std::pow(zb, 0.23)) * 2.134563;
      const double *terms = universal;
      ZblPair &pair = pairs_[a * types + b];
      pair.charge = 14.399645 * za * zb;    // e²/4πε₀ in eV Å
      pair.inner = w_.zbl.inner, pair.outer = w_.zbl.outer;
      if (w_.zbl.flexible) {
        const int low = std::min(a, b), high = std::max(a, b);
        const auto &values = w_.zbl.pairs[low * types - low * (low - 1) / 2 + (high - low)];
        pair.inner = values[0], pair.outer = values[1], terms = &values[2];
      } else if (w_.zbl.factor > 0.0) {
        pair.inner = 0.0;
        pair.outer = std::min(pair.outer, w_.zbl.factor * (scaled(elements[za - 1].radius) + scaled(elements[zb - 1].radius)));
      }
      pair.outer = std::min(pair.outer, 0.5 * (w_.rc_angular[a] + w_.rc_angular[b]));    // of the neighbours that GPUMD looks at
      for (int k = 0; k < 4; ++k) pair.factor[k] = terms[2 * k], pair.decay[k] = terms[2 * k + 1] * per_length;
    }
}

}    // namespace metalff
