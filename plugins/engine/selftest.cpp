#include "selftest.h"

#include "error.h"
#include "json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace metalff {
namespace {

using Vector = std::array<double, 3>;

constexpr std::size_t longest_text = 64 << 20, most_structures = 100, most_atoms = 10000;
constexpr double most_edges = 500000, most_images = 5e7;

double dot(const Vector &a, const Vector &b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Vector cross(const Vector &a, const Vector &b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

struct Case {
  std::vector<int32_t> types;
  std::vector<Vector> positions, forces;
  std::array<Vector, 3> cell, stress;
  std::array<bool, 3> periodic;
  double energy = 0.0;
  bool has_stress = false;
};

void require(bool condition, const char *what)
{
  if (!condition) throw std::domain_error(what);
}

double number(const Json &json)
{
  require(json.is_number(), "it has another thing where a number belongs");
  const double value = json.get<double>();
  require(std::fabs(value) <= 1e12, "a number is not finite, or beyond 1e12");
  return value;
}

Vector vector(const Json &json)
{
  require(json.is_array() && json.size() == 3, "it has another thing where three numbers belong");
  return {number(json[0]), number(json[1]), number(json[2])};
}

std::array<Vector, 3> matrix(const Json &json)
{
  require(json.is_array() && json.size() == 3, "it has another thing where a matrix belongs");
  return {vector(json[0]), vector(json[1]), vector(json[2])};
}

Case read_case(const Json &json, const Artifact &artifact)
{
  require(json.is_object(), "a structure is no object");
  for (const char *key : {"symbols", "positions", "cell", "pbc", "energy", "forces", "stress"})
    require(json.contains(key), "a structure lacks symbols, positions, cell, pbc, energy, forces or stress");
  const Json &symbols = json.at("symbols"), &pbc = json.at("pbc");
  require(symbols.is_array() && !symbols.empty() && symbols.size() <= most_atoms, "a structure has no atoms, or more than 10000");
  Case c;
  for (const Json &symbol : symbols) {
    const auto at = std::find_if(artifact.elements.begin(), artifact.elements.end(), [&](const std::string &e) { return symbol == e; });
    require(at != artifact.elements.end(), "a structure has an element that the model has not");
    c.types.push_back(int32_t(at - artifact.elements.begin()));
  }
  require(json.at("positions").is_array() && json.at("forces").is_array() && json.at("positions").size() == symbols.size() &&
              json.at("forces").size() == symbols.size(),
          "a structure has other numbers of symbols, positions and forces");
  for (const Json &row : json.at("positions")) c.positions.push_back(vector(row));
  for (const Json &row : json.at("forces")) c.forces.push_back(vector(row));
  c.cell = matrix(json.at("cell"));
  require(pbc.is_array() && pbc.size() == 3, "pbc is not three truth values");
  for (int k = 0; k < 3; ++k) {
    require(pbc[k].is_boolean(), "pbc is not three truth values");
    c.periodic[k] = pbc[k].get<bool>();
  }
  c.energy = number(json.at("energy"));
  c.has_stress = !json.at("stress").is_null();
  if (c.has_stress) c.stress = matrix(json.at("stress"));
  return c;
}

/// Vectors of the cell; those of directions that are not periodic become unit vectors across the others.
std::array<Vector, 3> basis(const Case &c)
{
  std::array<Vector, 3> a = c.cell;
  for (int k = 0; k < 3; ++k) {
    if (c.periodic[k]) continue;
    const int i = (k + 1) % 3, j = (k + 2) % 3;
    Vector across;
    if (c.periodic[i] && c.periodic[j])
      across = cross(a[i], a[j]);
    else if (c.periodic[i] || c.periodic[j]) {
      const Vector &along = a[c.periodic[i] ? i : j];    // across it, and across what the other direction got
      const bool second = k > (c.periodic[i] ? j : i);
      const Vector &other = a[c.periodic[i] ? j : i];
      Vector axis = {0, 0, 0};
      axis[std::min_element(along.begin(), along.end(), [](double x, double y) { return std::fabs(x) < std::fabs(y); }) - along.begin()] = 1;
      across = second ? cross(along, other) : cross(along, axis);
    } else {
      across = {0, 0, 0};
      across[k] = 1;
    }
    const double length = std::sqrt(dot(across, across));
    require(length > 1e-10, "a cell is flat");
    for (int d = 0; d < 3; ++d) a[k][d] = across[d] / length;
  }
  return a;
}

/// All pairs within r_max, whatever the shape of the cell.
void fill(Graph &graph, const Case &c, double r_max, int layers)
{
  const std::array<Vector, 3> a = basis(c);
  const double volume = dot(a[0], cross(a[1], a[2]));
  require(std::fabs(volume) > 1e-6, "a cell is flat");
  std::array<Vector, 3> inverse;    // rows: r · inverse[k] is the coordinate along a[k]
  std::array<double, 3> reach;
  double images = double(c.positions.size()) * double(c.positions.size());
  for (int k = 0; k < 3; ++k) {
    inverse[k] = cross(a[(k + 1) % 3], a[(k + 2) % 3]);
    for (double &x : inverse[k]) x /= volume;
    reach[k] = c.periodic[k] ? r_max * std::sqrt(dot(inverse[k], inverse[k])) : 0.0;    // in lengths of a[k]
    images *= 2.0 * reach[k] + 1.0;
  }
  require(images <= most_images, "a structure has too many neighbours");

  std::vector<int64_t> centre, neighbor;
  std::vector<double> edge_vec;
  const int n = int(c.positions.size());
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      Vector d;
      for (int x = 0; x < 3; ++x) d[x] = c.positions[j][x] - c.positions[i][x];
      std::array<double, 3> from, to;
      for (int k = 0; k < 3; ++k) {
        const double at = dot(d, inverse[k]);
        from[k] = c.periodic[k] ? std::ceil(-at - reach[k] - 1e-9) : 0.0;
        to[k] = c.periodic[k] ? std::floor(-at + reach[k] + 1e-9) : 0.0;
      }
      for (double p = from[0]; p <= to[0]; ++p)
        for (double q = from[1]; q <= to[1]; ++q)
          for (double s = from[2]; s <= to[2]; ++s) {
            if (i == j && p == 0 && q == 0 && s == 0) continue;
            Vector r;
            for (int x = 0; x < 3; ++x) r[x] = d[x] + p * a[0][x] + q * a[1][x] + s * a[2][x];
            if (!(dot(r, r) < r_max * r_max)) continue;
            require(dot(r, r) > 1e-6, "two atoms are in one place");
            require(centre.size() < most_edges, "a structure has too many neighbours");
            centre.push_back(i), neighbor.push_back(j);
            edge_vec.insert(edge_vec.end(), r.begin(), r.end());
          }
    }
  fill_graph(graph, centre.data(), neighbor.data(), edge_vec.data(), int64_t(centre.size()), c.types.data(), n, layers);
}

/// NaN stays.
void raise(double &worst, double value)
{
  if (!(value <= worst)) worst = std::isnan(worst) ? worst : value;
}

void compare(const Case &c, const Artifact &artifact, Model &model, Graph &graph, Deviation &worst)
{
  fill(graph, c, artifact.r_max, artifact.layers);
  const std::size_t n = c.types.size();
  std::vector<double> energies(n), gradient(std::size_t(3) * graph.n_edges());
  model.evaluate(graph, energies.data(), gradient.data());
  double energy = 0.0;
  for (const double e : energies) energy += e;
  std::vector<Vector> forces(n, Vector{});
  std::array<Vector, 3> strained{};
  for (std::size_t i = 0; i < n; ++i)
    for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e)
      for (int x = 0; x < 3; ++x) {
        forces[i][x] += gradient[3 * e + x];
        forces[graph.neighbor[e]][x] -= gradient[3 * e + x];
        for (int y = 0; y < 3; ++y) strained[x][y] += graph.edge_vec[3 * e + x] * gradient[3 * e + y];
      }
  raise(worst.energy, std::fabs(energy - c.energy) / double(n));
  double largest = 1.0, off = 0.0;
  for (std::size_t i = 0; i < n; ++i)
    for (int x = 0; x < 3; ++x) {
      raise(off, std::fabs(forces[i][x] - c.forces[i][x]));
      largest = std::max(largest, std::fabs(c.forces[i][x]));
    }
  raise(worst.forces, off), raise(worst.scaled, off / largest);
  if (!c.has_stress) return;
  const double volume = std::fabs(dot(c.cell[0], cross(c.cell[1], c.cell[2])));
  require(volume > 1e-6, "a structure has a stress and no volume");
  for (int x = 0; x < 3; ++x)
    for (int y = 0; y < 3; ++y) raise(worst.stress, std::fabs(0.5 * (strained[x][y] + strained[y][x]) / volume - c.stress[x][y]));
}

}    // namespace

Deviation replay(const Artifact &artifact, Model &model)
{
  const auto payload = artifact.payloads.find("selftest.json");
  const std::string proof = ", so nothing proves that it gives the numbers of the framework that trained it: deploy the model again";
  if (payload == artifact.payloads.end()) throw Error("'" + artifact.path + "' has no self-test" + proof);
  Deviation worst;
  try {
    require(payload->second.size <= longest_text, "it has more than 64 MB");
    const Json cases = parse_json(artifact.read("selftest.json"));
    require(cases.is_array(), "it is not a list of structures");
    if (cases.empty()) throw Error("'" + artifact.path + "' has a self-test without structures" + proof);
    require(cases.size() <= most_structures, "it has more than 100 structures");
    std::vector<Case> structures;
    std::size_t atoms = 0;
    for (const Json &json : cases) {
      structures.push_back(read_case(json, artifact));
      atoms += structures.back().types.size();
      require(atoms <= most_atoms, "it has more than 10000 atoms");
    }
    Graph graph;
    double edges = 0.0;
    for (const Case &c : structures) {
      compare(c, artifact, model, graph, worst);
      edges += double(graph.n_edges());
      require(edges <= most_edges, "a structure has too many neighbours");
      ++worst.structures;
    }
  } catch (const std::domain_error &e) {
    throw Error("the self-test of '" + artifact.path + "' is not valid (" + e.what() + "): deploy the model again");
  }
  return worst;
}

void must_pass(const Artifact &artifact, Model &model, bool single)
{
  const Deviation worst = replay(artifact, model);
  if (worst.energy <= tolerance(single) && worst.scaled <= tolerance(single) && worst.stress <= tolerance(single)) return;
  std::ostringstream words;
  words << std::scientific << std::setprecision(1) << "energy " << worst.energy << " eV/atom, forces " << worst.forces << " eV/Å, stress "
        << worst.stress << " eV/Å³, tolerance " << std::defaultfloat << tolerance(single);
  throw Error("'" + artifact.path + "' fails its self-test on this machine (" + words.str() + "): do not use it here");
}

}    // namespace metalff
