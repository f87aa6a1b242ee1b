#include "poly_weights.h"

#include "../artifact.h"
#include "../elements.h"
#include "../error.h"
#include "tensors.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace metalff {
namespace {

constexpr int format = 1;
constexpr int most_nodes = 1'000'000;
constexpr int most_knots = 100'000, most_functions = 4096;

/// Reads a description and its tensors; every number is checked before anything is built from it.
class Reader {
 public:
  Reader(const std::string &bytes, const std::string &name) : tensors_(bytes, name) {}

  PolyWeights read()
  {
    const Json json = parse_json(tensors_.metadata("config"));
    if (!json.is_object()) tensors_.refuse("its description is not JSON");
    try {
      return describe(json);
    } catch (const Json::exception &) {
      tensors_.refuse("its description lacks an entry or has one of another kind");
    }
  }

 private:
  void require(bool condition, const std::string &reason) const
  {
    if (!condition) tensors_.refuse(reason);
  }

  int whole(double value, int least, int most, const std::string &what) const
  {
    require(value == std::floor(value) && value >= least && value <= most, what + " holds a number that is not a whole one it may have");
    return int(value);
  }

  PolyWeights describe(const Json &json)
  {
    require(json.at("format").is_number_integer() && json.at("format") == format, "its format is not " + std::to_string(format));
    PolyWeights w;
    w.elements = json.at("elements").get<std::vector<std::string>>();
    const int types = w.types();
    require(types >= 1 && types <= 118, "it has no elements, or more than there are");
    std::set<std::string> seen;
    for (const auto &element : w.elements) require(atomic_number(element) > 0 && seen.insert(element).second, "its elements are not elements, each once");
    w.shift = tensors_.get("shift", {types});
    const auto &program = json.at("program");
    require(program.is_array() && int(program.size()) == types, "it does not say the program of every element");
    int programs = 0;
    for (const auto &number : program) {
      require(number.is_number_integer() && number >= 0 && number < types, "it names a program that there is not");
      w.program.push_back(number.get<int>());
      programs = std::max(programs, w.program.back() + 1);
    }
    for (int q = 0; q < programs; ++q) w.programs.push_back(read_program(q, w));
    const auto &grid = tensors_.get("grid", {types * types, 3});
    for (int p = 0; p < types * types; ++p) {
      w.pairs.push_back(radial(p, &grid[3 * p], w.programs[w.program[p / types]]));
      w.r_max = std::max(w.r_max, w.pairs.back().cutoff);
    }
    require(w.r_max > 0.0, "none of its elements interact");
    if (tensors_.has("inner")) {
      w.inner = tensors_.get("inner", {types * types, 2});
      for (int p = 0; p < types * types; ++p)
        require(w.pairs[p].cutoff == 0.0 || (w.inner[2 * p] >= 0.0 && w.inner[2 * p + 1] > 0.0 && w.inner[2 * p] + w.inner[2 * p + 1] <= w.pairs[p].cutoff),
                "inner does not give a range of distances within the cutoff");
    }
    for (const auto &program : w.programs) {
      const bool core = std::any_of(program.embedding.begin(), program.embedding.end(), [](const auto &e) { return e.kind == poly_core; });
      require(!core || !w.inner.empty(), "it has a core without its distances, inner");
      require(core || w.inner.empty(), "it has distances of a core, inner, and a program without one");
    }
    return w;
  }

  PolyRadial radial(int p, const double *grid, const PolyProgram &program)
  {
    PolyRadial r;
    const std::string name = "radial." + std::to_string(p), channel = "channel." + std::to_string(p);
    if (grid[2] == 0.0) return r;
    r.first = grid[0], r.step = grid[1], r.cutoff = grid[2];
    require(r.cutoff > 0.0 && r.cutoff <= longest_cutoff && r.first >= 0.0 && r.first < r.cutoff && r.step > 0.0,
            "the knots of " + name + " are not 0 ≤ first < cutoff ≤ 50 Å");
    const int64_t knots = tensors_.extent(name, 0), functions = tensors_.extent(name, 2);
    require(knots >= 2 && knots <= most_knots && functions >= 1 && functions <= most_functions, name + " has no knots or functions, or too many");
    r.knots = int(knots), r.functions = int(functions);
    require(std::fabs(r.first + r.step * (r.knots - 1) - r.cutoff) < 1e-6 * r.cutoff, "the last knot of " + name + " does not lie at the cutoff");
    r.table = tensors_.get(name, {knots, 3, functions});
    double largest = 0.0;
    for (const double value : r.table) largest = std::max(largest, std::fabs(value));
    for (int64_t k = 0; k < 2 * functions; ++k)
      require(std::fabs(r.table[(knots - 1) * 3 * functions + k]) <= 1e-6 * largest, "a function of " + name + " does not end smoothly at the cutoff");
    for (const double c : tensors_.get(channel, {functions})) r.channel.push_back(whole(c, 0, int(program.channels.size()) - 1, channel));
    return r;
  }

  PolyProgram read_program(int q, PolyWeights &w)
  {
    PolyProgram p;
    const std::string of = std::string(".").append(std::to_string(q));
    const auto &channels = tensors_.get("channels" + of, {-1, 2});
    require(!channels.empty() && channels.size() <= 2 * 10000, "channels" + of + " has none, or too many");
    for (std::size_t k = 0; k < channels.size(); k += 2) {
      const int first = whole(channels[k], 0, poly_l_most, "channels" + of), last = whole(channels[k + 1], first, poly_l_most, "channels" + of);
      p.channels.push_back({first, last, p.moments});
      p.moments += (last + 1) * (last + 1) - first * first;
      w.l_max = std::max(w.l_max, last);
    }
    const auto &products = tensors_.get("products" + of, {-1, 3});
    const auto &factors = tensors_.get("factors" + of, {int64_t(products.size() / 3)});
    p.nodes = p.moments;
    for (std::size_t k = 0; k < factors.size(); ++k) {
      const int out = whole(products[3 * k + 2], p.moments, most_nodes, "products" + of);
      const int a = whole(products[3 * k], 0, out - 1, "products" + of), b = whole(products[3 * k + 1], -1, out - 1, "products" + of);
      p.products.push_back({a, b, out, factors[k]});
      p.nodes = std::max(p.nodes, out + 1);
    }
    std::stable_sort(p.products.begin(), p.products.end(), [](const auto &x, const auto &y) { return x.out < y.out; });
    const auto &terms = tensors_.get("terms" + of, {-1, 2});
    const auto &embedding = tensors_.get("embedding" + of, {-1, 3});
    const int64_t n_terms = int64_t(terms.size() / 2), densities = int64_t(embedding.size() / 3);
    require(n_terms >= 1 && n_terms <= 100'000'000, "terms" + of + " has none, or too many");
    require(densities >= 1 && densities <= poly_densities_most, "embedding" + of + " has no densities, or more than 32");
    p.weights = tensors_.get("weights" + of, {n_terms, densities});
    for (std::size_t k = 0; k < terms.size(); k += 2)
      p.terms.push_back({whole(terms[k], 0, p.nodes - 1, "terms" + of), whole(terms[k + 1], -1, p.nodes - 1, "terms" + of)});
    for (int64_t k = 0; k < densities; ++k) {
      const double *e = &embedding[3 * k];
      p.embedding.push_back({whole(e[0], 0, poly_core, "embedding" + of), e[1], e[2]});
      require(e[0] == 0.0 || e[0] == poly_core || (e[2] > 0.0 && e[2] <= 10.0), "embedding" + of + " has an exponent that is not above 0 and up to 10");
    }
    if (tensors_.has("function" + of)) {
      for (const double f : tensors_.get("function" + of, {n_terms})) p.function.push_back(whole(f, 0, most_nodes, "function" + of));
      require(std::is_sorted(p.function.begin(), p.function.end()), "function" + of + " does not ascend");
      p.factor = tensors_.get("factor" + of, {n_terms});
    }
    return p;
  }

  Tensors tensors_;
};

}    // namespace

PolyWeights PolyWeights::read(const std::string &bytes, const std::string &name) { return Reader(bytes, name).read(); }

PolyWeights PolyWeights::read(const std::string &bytes, const Artifact &artifact)
{
  const std::string name = "native/poly.safetensors";
  PolyWeights w = read(bytes, name);
  artifact.must_fit(name, w.elements, w.r_max, 1);
  return w;
}

}    // namespace metalff
