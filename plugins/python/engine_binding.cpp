// metalff._engine: the engine for Python, on numpy arrays.
#ifdef METALFF_TORCH
#include "engine/compiled.h"
#endif
#include "engine/error.h"
#include "engine/model.h"
#include "engine/selftest.h"
#include "trainer_binding.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>
#include <limits>

namespace py = pybind11;
using metalff::Artifact;
using metalff::Error;
using metalff::Graph;
using metalff::Model;
using metalff::Options;

namespace {

template <typename T> using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

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

/// A model and the buffers of its last graph.
class Engine {
 public:
  Engine(const std::string &path, const std::string &precision, const std::string &device, int threads, int chunk,
         const std::string &programs, const std::string &engine, int spline, bool selftest) :
      artifact_(Artifact::open(path))
  {
    const Options options = make_options(precision, device, threads, chunk, engine, spline);
    py::gil_scoped_release release;    // compiling takes minutes
    model_ = (selftest ? metalff::open_model : metalff::open_unproved)(artifact_, options, programs);
  }

  metalff::Deviation replay() { return metalff::replay(artifact_, *model_); }

  const Artifact &artifact() const { return artifact_; }
  std::string engine() const { return model_->engine(); }

  py::list profile() const
  {
    py::list parts;
    for (const metalff::Part &p : model_->profile())
      parts.append(py::dict(py::arg("layer") = p.layer, py::arg("name") = p.name, py::arg("seconds") = p.seconds, py::arg("flops") = p.flops));
    return parts;
  }

  /// Edges in the order of their centres: centre[E], neighbor[E], edge_vec[E,3] (Å), types[N]
  py::tuple evaluate(Array<int64_t> centre, Array<int64_t> neighbor, Array<double> edge_vec, Array<int32_t> types)
  {
    const py::ssize_t edges = centre.size(), nodes = types.size();
    if (neighbor.size() != edges || edge_vec.size() != 3 * edges)
      throw Error("centre, neighbor and edge_vec must describe the same number of edges");
    metalff::fill_graph(graph_, centre.data(), neighbor.data(), edge_vec.data(), edges, types.data(), nodes, artifact_.layers);

    Array<double> energy(nodes);
    Array<double> grad(std::vector<py::ssize_t>{edges, 3});
    double *energy_out = energy.mutable_data(), *grad_out = grad.mutable_data();
    {
      py::gil_scoped_release release;
      model_->evaluate(graph_, energy_out, grad_out);
    }
    return py::make_tuple(energy, grad);
  }

 private:
  Artifact artifact_;
  std::unique_ptr<Model> model_;
  Graph graph_;
};

}    // namespace

PYBIND11_MODULE(_engine, m)
{
  m.doc() = "MetalFF's engine: opens an .mlff artefact and evaluates neighbour graphs.";
  py::register_exception<Error>(m, "EngineError");

  py::class_<Artifact>(m, "Artifact")
      .def_static("open", &Artifact::open)
      .def_readonly("path", &Artifact::path)
      .def_readonly("sha256", &Artifact::sha256)
      .def_readonly("manifest", &Artifact::manifest)
      .def("verify", &Artifact::verify, py::call_guard<py::gil_scoped_release>())
      .def("read", [](const Artifact &artifact, const std::string &payload) { return py::bytes(artifact.read(payload)); }, py::arg("payload"))
      .def_readonly("name", &Artifact::name)
      .def_readonly("elements", &Artifact::elements)
      .def_readonly("r_max", &Artifact::r_max)
      .def_readonly("layers", &Artifact::layers)
      .def_readonly("shortest_distance", &Artifact::shortest_distance)
      .def_readonly("largest_coordination", &Artifact::largest_coordination)
      .def_readonly("smallest_coordination", &Artifact::smallest_coordination)
      .def_readonly("pairs", &Artifact::pairs)
      .def_property_readonly("overlap_distance", &Artifact::overlap_distance);

#ifdef METALFF_TORCH
  m.def("cache_key", [](const Artifact &artifact, const std::string &precision, const std::string &device) {
    return metalff::cache_key(artifact, make_options(precision, device, 1));
  });
  m.def("payload_name", [](const Artifact &artifact, const std::string &precision) {
    return metalff::payload_name(artifact, make_options(precision, "cpu", 1));
  });
#endif

  m.def("describe_device", &metalff::describe_device, py::arg("device"));

  py::class_<metalff::Deviation>(m, "Deviation")
      .def_readonly("structures", &metalff::Deviation::structures)
      .def_readonly("energy", &metalff::Deviation::energy)
      .def_readonly("forces", &metalff::Deviation::forces)
      .def_readonly("stress", &metalff::Deviation::stress)
      .def_readonly("scaled", &metalff::Deviation::scaled);

  py::class_<Engine>(m, "Engine")
      .def(py::init<const std::string &, const std::string &, const std::string &, int, int,
                    const std::string &, const std::string &, int, bool>(),
           py::arg("path"), py::arg("precision") = "double", py::arg("device") = "cpu", py::arg("threads") = 1,
           py::arg("chunk") = 0, py::arg("programs") = "", py::arg("engine") = "auto", py::arg("spline") = -1,
           py::arg("selftest") = true)
      .def_property_readonly("artifact", &Engine::artifact, py::return_value_policy::reference_internal)
      .def_property_readonly("engine", &Engine::engine)
      .def("profile", &Engine::profile)
      .def("replay", &Engine::replay, py::call_guard<py::gil_scoped_release>())
      .def("evaluate", &Engine::evaluate, py::arg("centre"), py::arg("neighbor"), py::arg("edge_vec"),
           py::arg("types"));

  bind_trainer(m);
}
