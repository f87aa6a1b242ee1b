// The kernels of a device against the engine of the processor, on random structures: device_check MODEL.mlff [single] [chunk N]. One line per
// structure: its name, atoms, edges, and the largest differences of an atomic energy and of dE/d an edge vector, relative to the largest.
#include "kokkos/model_kokkos.h"

#include "engine/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

using namespace metalff;
using Space = Kokkos::DefaultExecutionSpace;

namespace {

constexpr double skin = 0.7;    // Å: candidates that are no edges

struct Structure {
  Graph graph;
  DeviceGraph<Space> device;
  std::vector<int> first;
};

template <typename X> Array<Space, X> put(const std::vector<X> &values)
{
  Array<Space, X> array("test", values.size());
  std::copy(values.begin(), values.end(), array.data());
  return array;
}

/// A cubic cell of length L, periodic, with n atoms anywhere, but not closer than `apart`; elements in runs, as a device has them.
Structure random_structure(int n, double length, double apart, double r_max, int types, int layers)
{
  std::mt19937 random(n);
  std::uniform_real_distribution<double> place(0.0, length);
  auto between = [&](const std::array<double, 3> &a, const std::array<double, 3> &b, int c) { return b[c] - a[c]; };
  std::vector<std::array<double, 3>> x;
  for (int attempt = 0; int(x.size()) < n && attempt < 1000000; ++attempt) {
    const std::array<double, 3> mine{place(random), place(random), place(random)};
    bool free = true;
    for (const auto &other : x) {
      double r2 = 0.0;
      for (int c = 0; c < 3; ++c) {
        const double d = between(mine, other, c), folded = d - length * std::round(d / length);
        r2 += folded * folded;
      }
      free = free && r2 > apart * apart;
    }
    if (free) x.push_back(mine);
  }
  n = int(x.size());

  Structure made;
  std::vector<int> type(n), neighbor, edge_of, count(n);
  for (int i = 0; i < n; ++i) type[i] = i * types / n;
  std::vector<double> vec;
  std::vector<std::vector<int>> in(n);
  Graph &graph = made.graph;
  graph.n_nodes = graph.n_owned = n;
  graph.reach.assign(layers, n);
  graph.types.assign(type.begin(), type.end());
  graph.first.push_back(0), made.first.push_back(0);
  const int images = int(std::ceil((r_max + skin) / length));
  for (int i = 0; i < n; ++i) {
    const int base = made.first[i];
    std::vector<int> near;
    std::vector<double> vectors;
    int candidates = 0;
    for (int j = 0; j < n; ++j)
      for (int a = -images; a <= images; ++a)
        for (int b = -images; b <= images; ++b)
          for (int c = -images; c <= images; ++c) {
            const double v[3] = {between(x[i], x[j], 0) + a * length, between(x[i], x[j], 1) + b * length, between(x[i], x[j], 2) + c * length};
            const double r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
            if (r2 == 0.0 || r2 >= (r_max + skin) * (r_max + skin)) continue;
            in[j].push_back(base + candidates++);
            edge_of.push_back(r2 < r_max * r_max ? base + int(near.size()) : -1);
            if (r2 >= r_max * r_max) continue;
            near.push_back(j), vectors.insert(vectors.end(), v, v + 3);
          }
    count[i] = int(near.size());
    graph.neighbor.insert(graph.neighbor.end(), near.begin(), near.end());
    graph.edge_vec.insert(graph.edge_vec.end(), vectors.begin(), vectors.end());
    graph.first.push_back(int64_t(graph.neighbor.size()));
    near.resize(candidates, -1), vectors.resize(3 * std::size_t(candidates), NAN);    // nobody looks behind the edges of a row
    neighbor.insert(neighbor.end(), near.begin(), near.end());
    vec.insert(vec.end(), vectors.begin(), vectors.end());
    made.first.push_back(base + candidates);
  }
  DeviceGraph<Space> &device = made.device;
  device.n_nodes = device.n_owned = n, device.n_candidates = std::int64_t(neighbor.size());
  for (int i = 0; i < n; ++i) {
    device.longest = std::max(device.longest, made.first[i + 1] - made.first[i]);
    if (i == 0 || type[i] != type[i - 1])
      device.runs.push_back({type[i], i, i + 1});
    else
      device.runs.back().end = i + 1;
  }
  std::vector<int> in_first{0}, flat;
  for (const auto &list : in) flat.insert(flat.end(), list.begin(), list.end()), in_first.push_back(int(flat.size()));
  device.types = put(type), device.first = put(made.first), device.count = put(count), device.neighbor = put(neighbor), device.vec = put(vec);
  device.edge_of = put(edge_of), device.in_first = put(in_first), device.in = put(flat);
  return made;
}

void compare(const char *name, const Structure &structure, Model &model, DeviceModel<Space> &device)
{
  const Graph &graph = structure.graph;
  const int n = graph.n_owned;
  std::vector<double> energy(n), grad(3 * graph.n_edges());
  model.evaluate(graph, energy.data(), grad.data());
  Array<Space, double> e("energy", n), g("grad", 3 * structure.device.n_candidates);
  Kokkos::deep_copy(g, NAN);
  device.evaluate(structure.device, e, g, nullptr);
  Kokkos::fence();
  double of_energy = 0.0, of_grad = 0.0, most_energy = 0.0, most_grad = 0.0;
  auto apart = [](double a, double b, double &largest, double &most) {
    const double d = std::abs(a - b);
    largest = d == d ? std::max(largest, d) : INFINITY, most = std::max(most, std::abs(b));
  };
  for (int i = 0; i < n; ++i) {
    apart(e(i), energy[i], of_energy, most_energy);
    for (int64_t k = 0; k < 3 * (graph.first[i + 1] - graph.first[i]); ++k)
      apart(g(3 * std::size_t(structure.first[i]) + k), grad[3 * graph.first[i] + k], of_grad, most_grad);
  }
  std::printf("%s %d %ld %.3g %.3g\n", name, n, long(graph.n_edges()), of_energy / std::max(most_energy, 1e-300), of_grad / std::max(most_grad, 1e-300));
}

}    // namespace

int main(int argc, char **argv)
{
  Kokkos::ScopeGuard guard(argc, argv);
  try {
    Options options, host;
    for (int k = 2; k < argc; ++k) {
      if (!std::strcmp(argv[k], "single")) options.single = host.single = true;
      if (!std::strcmp(argv[k], "chunk")) options.chunk = std::atoi(argv[k + 1]);
    }
    const Artifact artifact = Artifact::open(argv[1]);
    const auto model = open_model(artifact, host);
    const auto device = open_device_model<Space>(artifact, options, std::vector<char>(artifact.elements.size(), 1));
    const int types = int(artifact.elements.size());
    const double r = artifact.r_max;
    compare("loose", random_structure(6, 7.5, 2.4, r, types, artifact.layers), *model, *device);
    compare("small", random_structure(2, 3.9, 2.2, r, types, artifact.layers), *model, *device);
    compare("alone", random_structure(1, 3.0 * r, 2.2, r, types, artifact.layers), *model, *device);
  } catch (const Error &e) {
    std::printf("%s\n", e.what());
    return 1;
  }
}
