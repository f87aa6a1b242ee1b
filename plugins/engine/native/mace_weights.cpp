#include "mace_weights.h"

#include "../artifact.h"
#include "../elements.h"
#include "../error.h"
#include "tensors.h"

#include <algorithm>
#include <cmath>

namespace metalff {
namespace {

constexpr int format = 1;
constexpr std::size_t most_columns = 1 << 14;    // radial functions of a pair of elements, whose splines take a hundred MB then

/// Reads a description and its tensors; every number is checked before anything is built from it.
class Reader {
 public:
  Reader(const std::string &bytes, const std::string &name) : tensors_(bytes, name) {}

  MaceWeights read()
  {
    const Json json = parse_json(tensors_.metadata("mace"));
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

  int whole(const Json &json, const char *key, int least, int most) const
  {
    require(json.at(key).is_number_integer(), std::string(key) + " is not a whole number");
    const auto value = json.at(key).get<int64_t>();
    require(value >= least && value <= most, std::string(key) + " is " + std::to_string(value));
    return int(value);
  }

  double number(const Json &json, const char *key) const
  {
    require(json.at(key).is_number() && std::isfinite(json.at(key).get<double>()), std::string(key) + " is not a number");
    return json.at(key).get<double>();
  }

  double number(const Json &json, const char *key, double otherwise) const { return json.contains(key) ? number(json, key) : otherwise; }

  MaceWeights describe(const Json &json)
  {
    require(json.at("format").is_number_integer() && json.at("format") == format, "its format is not " + std::to_string(format));
    MaceWeights w;
    w.types = whole(json, "elements", 1, 200);
    w.channels = whole(json, "channels", 1, 4096);
    w.l_max = whole(json, "l_max", 0, 4);
    w.r_max = number(json, "r_max");
    require(w.r_max > 0.0 && w.r_max <= longest_cutoff, "r_max is not a number above 0 and up to 50");
    w.energy = tensors_.get("energy", {w.types});
    w.embedding = tensors_.get("embedding", {w.types, w.channels});
    w.atomic_number = tensors_.get("atomic_number", {w.types});
    w.covalent_radius = tensors_.get("covalent_radius", {w.types});
    radial(json.at("radial"), w);
    const Json &layers = json.at("layers");
    require(layers.is_array() && !layers.empty() && layers.size() <= 8, "it has no layers, or more than 8");
    for (std::size_t k = 0; k < layers.size(); ++k) w.layers.push_back(layer(layers[k], int(k), w));
    require(w.layers.back().l_out == 0, "its last layer has features beyond l = 0");
    return w;
  }

  void radial(const Json &json, MaceWeights &w)
  {
    MaceRadial &r = w.radial;
    const auto basis = json.at("basis").get<std::string>(), transform = json.at("transform").get<std::string>();
    require(basis == "bessel" || basis == "gaussian", "its radial basis is unknown");
    require(transform == "none" || transform == "agnesi" || transform == "soft", "its distance transform is unknown");
    r.basis = basis == "bessel" ? MaceRadial::Basis::BESSEL : MaceRadial::Basis::GAUSSIAN;
    r.transform = transform == "agnesi" ? MaceRadial::Transform::AGNESI
        : transform == "soft"           ? MaceRadial::Transform::SOFT
                                        : MaceRadial::Transform::NONE;
    r.weights = tensors_.get("radial", {-1});
    require(!r.weights.empty() && r.weights.size() <= 1024, "its radial basis is empty or too large");
    r.factor = number(json, "factor", 1.0);
    r.p = whole(json, "p", 1, 64);
    r.cutoff_on_basis = json.at("cutoff_on_basis").get<bool>();
    r.q = number(json, "q", 0.0), r.agnesi_p = number(json, "agnesi_p", 0.0);
    r.a = number(json, "a", 0.0), r.alpha = number(json, "alpha", 0.0);
    if (json.contains("zbl")) {
      const Json &zbl = json.at("zbl");
      w.zbl = {true, whole(zbl, "p", 1, 64), number(zbl, "exponent"), number(zbl, "length"), {}};
      const auto factors = zbl.at("c").get<std::vector<double>>();
      require(factors.size() == 4 && w.zbl.length > 0.0, "its nuclear repulsion is not valid");
      std::copy(factors.begin(), factors.end(), w.zbl.factor);
    }
    if (w.zbl.present || r.transform != MaceRadial::Transform::NONE)
      for (const double radius : w.covalent_radius) require(radius > 0.0, "a covalent radius is not positive");
  }

  /// Largest l of a list that must be 0, 1, … l.
  int largest(const Json &json, const char *key) const
  {
    for (const Json &l : json.at(key)) require(l.is_number_integer(), std::string(key) + " is not a list of l");
    const auto list = json.at(key).get<std::vector<int64_t>>();
    require(!list.empty() && list.size() <= 9, std::string(key) + " is not a list of l");
    for (std::size_t l = 0; l < list.size(); ++l) require(list[l] == int64_t(l), std::string(key) + " leaves an l out");
    return int(list.size()) - 1;
  }

  MaceLayer layer(const Json &json, int k, const MaceWeights &w)
  {
    const std::string at = std::to_string(k) + ".";
    const int C = w.channels;
    MaceLayer layer;
    layer.channels = whole(json, "channels", 1, 4096);
    const int D = layer.channels;
    layer.l_in = largest(json, "l_in"), layer.l_mid = largest(json, "l_mid"), layer.l_out = largest(json, "l_out");
    require(layer.l_in == (k ? w.layers.back().l_out : 0), "layer " + std::to_string(k) + " does not start from the features before it");
    require(layer.l_mid <= 4 && layer.l_out <= 4, "its messages or features go beyond l = 4");
    for (int l = 0; l <= layer.l_in; ++l) layer.up.push_back(tensors_.get(at + "up." + std::to_string(l), {C, D}));

    const Json &paths = json.at("paths");
    require(paths.is_array() && !paths.empty() && paths.size() <= 200, "it has no paths, or too many");
    require(paths.size() * D <= most_columns, "it has too many paths for its channels");
    for (std::size_t p = 0; p < paths.size(); ++p) {
      const Json &path = paths[p];
      require(path.is_array() && path.size() == 3, "a path is not three numbers");
      for (const Json &l : path) require(l.is_number_integer() && l >= 0 && l <= 8, "a path leaves the range of l");
      const int l1 = path[0].get<int>(), l2 = path[1].get<int>(), l3 = path[2].get<int>();
      require(l1 >= 0 && l1 <= layer.l_in && l2 >= 0 && l2 <= w.l_max && l3 >= 0 && l3 <= layer.l_mid, "a path leaves the range of l");
      layer.paths.push_back({l1, l2, l3, tensors_.get(at + "cg." + std::to_string(p), {2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1})});
    }

    const int matrices = whole(json, "mlp", 1, 16);
    int64_t width = int64_t(w.radial.weights.size());
    layer.mlp_widths.push_back(int(width));
    for (int i = 0; i < matrices; ++i) {
      const std::string name = at + "mlp." + std::to_string(i);
      const int64_t next = i + 1 < matrices ? tensors_.extent(name, 1) : int64_t(paths.size()) * D;
      require(next >= 1 && next <= 1 << 20, "tensor " + name + " has a wrong shape");
      layer.mlp.push_back(tensors_.get(name, {width, next}));
      layer.mlp_widths.push_back(int(next));
      width = next;
    }
    if (json.at("density").get<bool>()) layer.density = tensors_.get(at + "density", {int64_t(w.radial.weights.size())});

    auto types_of = [&](const std::string &name) {
      const int64_t n = tensors_.extent(name, 0);
      require(n == 1 || n == w.types, "tensor " + name + " is for another number of elements");
      return int(n);
    };
    layer.linear_types = types_of(at + "linear.0");
    for (int l = 0; l <= layer.l_mid; ++l) {
      const int64_t ends = std::count_if(layer.paths.begin(), layer.paths.end(), [&](const auto &p) { return p.l3 == l; });
      require(ends > 0, "no path ends on l = " + std::to_string(l));
      layer.linear.push_back(tensors_.get(at + "linear." + std::to_string(l), {layer.linear_types, ends * D, C}));
    }
    require(json.at("skip").is_array(), "skip is not a list of l");
    if (!json.at("skip").empty()) {
      require(largest(json, "skip") == std::min(layer.l_in, layer.l_out), "its skip connections leave an l out");
      for (int l = 0; l <= std::min(layer.l_in, layer.l_out); ++l)
        layer.skip.push_back(tensors_.get(at + "skip." + std::to_string(l), {w.types, C, C}));
    }

    layer.product_types = types_of(at + "product.0");
    const int features = (layer.l_mid + 1) * (layer.l_mid + 1);
    for (int l = 0; l <= layer.l_out; ++l) {
      const std::string end = std::to_string(l);
      MaceLayer::Product product;
      const auto &terms = tensors_.get(at + "terms." + end, {-1, 4});
      require(!terms.empty(), "a product has no terms");
      for (std::size_t t = 0; t < terms.size(); t += 4) {
        std::array<int, 4> term;
        for (int c = 0; c < 4; ++c) {
          require(terms[t + c] >= -1.0 && terms[t + c] < features && terms[t + c] == std::floor(terms[t + c]), "a term leaves the range of features");
          term[c] = int(terms[t + c]);
        }
        const auto [m, i, j, q] = term;
        require(m >= 0 && m <= 2 * l && i >= 0 && (j == -1 ? q == -1 : j >= i && (q == -1 || q >= j)), "a term is out of order");
        product.terms.push_back(term);
      }
      require(std::is_sorted(product.terms.begin(), product.terms.end()), "the terms are out of order");
      product.weights = tensors_.get(at + "product." + end, {layer.product_types, int64_t(product.terms.size()), C});
      product.post = tensors_.get(at + "post." + end, {C, C});
      layer.product.push_back(std::move(product));
    }

    const int readouts = whole(json, "readout", 0, 2);
    if (readouts > 0) {
      const int64_t hidden = tensors_.extent(at + "readout.0", 1);
      require(hidden >= 1 && hidden <= 4096 && (readouts == 2 || hidden == 1), "a readout has a wrong shape");
      layer.readout = tensors_.get(at + "readout.0", {C, hidden});
      layer.hidden = int(hidden);
      if (readouts == 2) layer.readout2 = tensors_.get(at + "readout.1", {hidden, 1});
    }
    return layer;
  }

  Tensors tensors_;
};

}    // namespace

MaceWeights MaceWeights::read(const std::string &bytes, const std::string &name)
{
  return Reader(bytes, name).read();
}

MaceWeights MaceWeights::read(const std::string &bytes, const Artifact &artifact)
{
  const std::string name = "native/mace.safetensors";
  MaceWeights w = read(bytes, name);
  std::vector<std::string> elements;
  for (const double number : w.atomic_number) {
    if (!(number >= 1.0 && number <= double(std::size(element_symbols)) && number == std::floor(number)))
      throw Error("payload " + name + " has an atomic number that no element has: deploy the model again");
    elements.emplace_back(element_symbols[int(number) - 1]);
  }
  artifact.must_fit(name, elements, w.r_max, int(w.layers.size()));
  return w;
}

}    // namespace metalff
