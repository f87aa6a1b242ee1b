// The engine for Python, as plain C functions on plain arrays: python/metalff/_engine.py calls them through ctypes, so that one library serves
// every version of Python. What can fail returns a status; the sentence of the last failure on this thread is metalff_error().
#include "engine/compiled.h"
#include "engine/error.h"
#include "engine/json.h"
#include "engine/model.h"
#include "engine/selftest.h"
#include "engine/training_loss.h"

#include <algorithm>
#include <limits>
#include <new>

#define METALFF_C extern "C" __attribute__((visibility("default")))

using metalff::Artifact;
using metalff::Error;
using metalff::Graph;
using metalff::Json;
using metalff::Model;
using metalff::Options;
using metalff::TrainingLoss;

namespace {

enum Status { OK = 0, FAILED = 1, NO_MEMORY = 2 };

thread_local std::string error;    // of the last failure
thread_local std::string answer;   // the last text that was asked for

/// Runs what may throw; nothing is ever thrown into C.
template <typename Function> int guarded(Function &&function) noexcept
{
  try {
    function();
    return OK;
  } catch (const std::bad_alloc &) {
    return NO_MEMORY;
  } catch (const std::exception &e) {
    try {
      error = e.what();
    } catch (...) {
      return NO_MEMORY;
    }
    return FAILED;
  }
}

/// The same for text: it is the caller's until this thread asks for another.
template <typename Function> int answered(const char **out, Function &&function) noexcept
{
  return guarded([&] {
    answer = function();
    *out = answer.c_str();
  });
}

Options make_options(const std::string &precision, const std::string &device, int threads, int chunk = 0,
                     const std::string &engine = "auto", int spline = -1)
{
  if (engine != "auto" && engine != "torch" && engine != "native")
    throw Error("engine must be 'auto', 'torch' or 'native', not '" + engine + "'");
  if (spline < -1 || spline == 1) throw Error("spline must be 0 (exact) or a number of points from 2 on, not " + std::to_string(spline));
  if (precision != "double" && precision != "single")
    throw Error("precision must be 'double' or 'single', not '" + precision + "'");
  const std::string index = device.starts_with("cuda:") ? device.substr(5) : "";
  if (device != "cpu" && device != "kokkos" && (index.empty() || index.find_first_not_of("0123456789") != std::string::npos))
    throw Error("device must be 'cpu' or 'cuda:N', not '" + device + "'");
  if (threads < 1) throw Error("threads must be at least 1, not " + std::to_string(threads));
  if (chunk < 0) throw Error("chunk must be 0 (automatic) or a number of atoms, not " + std::to_string(chunk));
  Options options;
  options.engine = engine == "torch" ? Options::Engine::TORCH : engine == "native" ? Options::Engine::NATIVE : Options::Engine::AUTO;
  options.single = precision == "single";
  options.device = device, options.threads = threads, options.chunk = chunk, options.knots = spline;
  return options;
}

/// What Python knows of an artefact, as JSON; not its path, which need not be text.
std::string describe(const Artifact &a)
{
  Json pairs = Json::array();
  for (const auto &[first, second] : a.pairs) pairs.push_back({first, second});
  return Json{{"sha256", a.sha256},
              {"name", a.name},
              {"elements", a.elements},
              {"r_max", a.r_max},
              {"layers", a.layers},
              {"shortest_distance", a.shortest_distance},
              {"largest_coordination", a.largest_coordination},
              {"smallest_coordination", a.smallest_coordination},
              {"pairs", pairs},
              {"overlap_distance", a.overlap_distance()}}
      .dump();
}

}    // namespace

/// An opened artefact, and what is said of it.
struct metalff_artifact {
  Artifact artifact;
  std::string description;

  explicit metalff_artifact(const char *path) : artifact(Artifact::open(path)), description(describe(artifact)) {}
};

/// A model and the buffers of its last graph: for one thread at a time.
struct metalff_engine {
  metalff_artifact opened;
  std::unique_ptr<Model> model;
  std::string words;
  Graph graph;

  metalff_engine(const char *path, const Options &options, const std::string &programs, bool selftest) :
      opened(path), model((selftest ? metalff::open_model : metalff::open_unproved)(opened.artifact, options, programs)), words(model->engine())
  {
  }
};

METALFF_C const char *metalff_error() { return error.c_str(); }

METALFF_C int metalff_open_artifact(const char *path, metalff_artifact **out)
{
  return guarded([&] { *out = new metalff_artifact(path); });
}

METALFF_C void metalff_close_artifact(metalff_artifact *self) { delete self; }

/// Reads every payload.
METALFF_C int metalff_verify(const metalff_artifact *self)
{
  return guarded([&] { self->artifact.verify(); });
}

/// Bytes of a payload: the caller's until this thread asks for another.
METALFF_C int metalff_read(const metalff_artifact *self, const char *payload, const char **out, std::size_t *size)
{
  return guarded([&] {
    answer = self->artifact.read(payload);
    *out = answer.data(), *size = answer.size();
  });
}

METALFF_C const char *metalff_manifest(const metalff_artifact *self) { return self->artifact.manifest.c_str(); }

METALFF_C const char *metalff_describe_artifact(const metalff_artifact *self) { return self->description.c_str(); }

METALFF_C int metalff_describe_device(const char *device, const char **out)
{
  return answered(out, [&] { return metalff::describe_device(device); });
}

METALFF_C int metalff_cached_programs(const metalff_artifact *self, const char *precision, const char *device, const char **out)
{
  return answered(out, [&] { return metalff::cached_programs(self->artifact, make_options(precision, device, 1)); });
}

METALFF_C int metalff_cache_key(const metalff_artifact *self, const char *precision, const char *device, const char **out)
{
  return answered(out, [&] { return metalff::cache_key(self->artifact, make_options(precision, device, 1)); });
}

METALFF_C int metalff_payload_name(const metalff_artifact *self, const char *precision, const char **out)
{
  return answered(out, [&] { return metalff::payload_name(self->artifact, make_options(precision, "cpu", 1)); });
}

METALFF_C int metalff_open_engine(const char *path, const char *precision, const char *device, int threads, int chunk,
                                  const char *programs, const char *engine, int spline, int selftest, metalff_engine **out)
{
  return guarded([&] { *out = new metalff_engine(path, make_options(precision, device, threads, chunk, engine, spline), programs, selftest); });
}

/// Number of structures, and deviation[4]: energy, forces, stress, and forces as selftest.h scales them.
METALFF_C int metalff_replay(metalff_engine *self, int *structures, double *deviation)
{
  return guarded([&] {
    const metalff::Deviation found = metalff::replay(self->opened.artifact, *self->model);
    *structures = found.structures;
    deviation[0] = found.energy, deviation[1] = found.forces, deviation[2] = found.stress, deviation[3] = found.scaled;
  });
}

METALFF_C void metalff_close_engine(metalff_engine *self) { delete self; }

METALFF_C const char *metalff_describe_engine(const metalff_engine *self) { return self->words.c_str(); }

/// Belongs to the engine.
METALFF_C const metalff_artifact *metalff_artifact_of(const metalff_engine *self) { return &self->opened; }

METALFF_C int metalff_profile(metalff_engine *self, const char **out)
{
  return answered(out, [&] {
    Json parts = Json::array();
    for (const metalff::Part &p : self->model->profile())
      parts.push_back({{"layer", p.layer}, {"name", p.name}, {"seconds", p.seconds}, {"flops", p.flops}});
    return parts.dump();
  });
}

/// Edges in the order of their centres: centre[E], neighbor[E], edge_vec[E,3] (Å), types[N]; writes energy[N] (eV) and grad[E,3] (eV/Å).
METALFF_C int metalff_evaluate(metalff_engine *self, const int64_t *centre, const int64_t *neighbor, const double *edge_vec, int64_t edges,
                               const int32_t *types, int64_t nodes, double *energy, double *grad)
{
  return guarded([&] {
    metalff::fill_graph(self->graph, centre, neighbor, edge_vec, edges, types, nodes, self->opened.artifact.layers);
    self->model->evaluate(self->graph, energy, grad);
  });
}

METALFF_C int metalff_committee(const metalff_engine *self) { return self->model->committee(); }

/// As metalff_evaluate, for the members of the model's committee: energy[M] (eV) of the whole structure, force[M,N,3] (eV/Å).
METALFF_C int metalff_evaluate_committee(metalff_engine *self, const int64_t *centre, const int64_t *neighbor, const double *edge_vec,
                                         int64_t edges, const int32_t *types, int64_t nodes, double *energy, double *force)
{
  return guarded([&] {
    metalff::fill_graph(self->graph, centre, neighbor, edge_vec, edges, types, nodes, self->opened.artifact.layers);
    const int members = self->model->committee();
    std::fill_n(force, 3 * nodes * members, 0.0);
    std::vector<double *> forces;
    for (int m = 0; m < members; ++m) forces.push_back(force + 3 * nodes * m);
    self->model->evaluate_committee(self->graph, energy, forces.data());
  });
}

METALFF_C int metalff_open_trainer(const char *family, const char *payload, std::size_t size, int threads, TrainingLoss **out)
{
  return guarded([&] { *out = new TrainingLoss(family, std::string(payload, size), threads); });
}

METALFF_C void metalff_close_trainer(TrainingLoss *self) { delete self; }

METALFF_C std::size_t metalff_n_parameters(TrainingLoss *self) { return self->trainer().n_parameters(); }

METALFF_C int metalff_n_descriptors(TrainingLoss *self) { return self->trainer().n_descriptors(); }

METALFF_C int metalff_get_parameters(TrainingLoss *self, double *values)
{
  return guarded([&] { self->trainer().get(values); });
}

METALFF_C int metalff_set_parameters(TrainingLoss *self, const double *values)
{
  return guarded([&] { self->set(values); });
}

/// centre[E], neighbor[E], edge_vec[E,3] (Å), types[N], energy (eV), forces[N,3] (eV/Å), virial[3,3] (eV; null: not known).
METALFF_C int metalff_add_structure(TrainingLoss *self, const int64_t *centre, const int64_t *neighbor, const double *edge_vec, int64_t edges,
                                    const int32_t *types, int64_t nodes, double energy, const double *forces, const double *virial, double weight,
                                    int *number)
{
  return guarded([&] {
    metalff::LabelledGraph structure;
    metalff::fill_graph(structure.graph, centre, neighbor, edge_vec, edges, types, nodes, self->trainer().layers());
    structure.energy = energy, structure.weight = weight;
    structure.forces.assign(forces, forces + 3 * nodes);
    if (virial) {
      structure.virial.emplace();
      std::copy_n(virial, 9, structure.virial->begin());
    }
    *number = self->add(std::move(structure));
  });
}

METALFF_C int metalff_gradient(TrainingLoss *self, const int *batch, int size, double energy_weight, double virial_weight, double huber,
                               double *gradient, double *loss)
{
  return guarded([&] { *loss = self->gradient({batch, batch + size}, {energy_weight, virial_weight, huber}, gradient); });
}

/// jacobian[rows, parameters] of by_energy[rows], by_force[rows, N, 3], by_virial[rows, 3, 3] of structure k: see training_loss.h.
METALFF_C int metalff_jacobian(TrainingLoss *self, int k, int rows, const double *by_energy, const double *by_force, const double *by_virial,
                               double *jacobian)
{
  return guarded([&] { self->jacobian(k, rows, by_energy, by_force, by_virial, jacobian); });
}

/// energy[size] (eV), forces of all atoms of the batch one after the other (eV/Å), virial[size,3,3] (eV).
METALFF_C int metalff_predict(TrainingLoss *self, const int *batch, int size, double *energy, double *forces, double *virial)
{
  return guarded([&] {
    for (const auto &answer : self->predict({batch, batch + size})) {
      *energy++ = answer.energy;
      forces = std::copy(answer.forces.begin(), answer.forces.end(), forces);
      virial = std::copy(answer.virial.begin(), answer.virial.end(), virial);
    }
  });
}

METALFF_C int metalff_n_functions(TrainingLoss *self) { return self->trainer().n_functions(); }

/// See TrainingLoss::design.
METALFF_C int metalff_design(TrainingLoss *self, const int *batch, int size, double *out)
{
  return guarded([&] { self->design({batch, batch + size}, out); });
}

/// Least and greatest of each descriptor over all structures: low and high [n_descriptors].
METALFF_C int metalff_descriptor_range(TrainingLoss *self, double *low, double *high)
{
  return guarded([&] {
    const int dim = self->trainer().n_descriptors();
    std::fill_n(low, dim, std::numeric_limits<double>::infinity());
    std::fill_n(high, dim, -std::numeric_limits<double>::infinity());
    std::vector<double> q;
    for (int k = 0; k < self->size(); ++k) {
      const Graph &graph = self->structure(k).graph;
      q.resize(std::size_t(graph.n_owned) * dim);
      self->trainer().descriptors(graph, q.data());
      for (std::size_t c = 0; c < q.size(); ++c) {
        double &least = low[c % dim], &most = high[c % dim];
        least = std::min(least, q[c]), most = std::max(most, q[c]);
      }
    }
  });
}
