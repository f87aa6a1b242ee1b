// The trainer of native models for Python, on numpy arrays.
#include "trainer_binding.h"

#include "engine/error.h"
#include "engine/training_loss.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <limits>

namespace py = pybind11;
using metalff::Error;
using metalff::TrainingLoss;

namespace {

template <typename T> using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

py::array_t<double> parameters(TrainingLoss &self)
{
  py::array_t<double> out(py::ssize_t(self.trainer().n_parameters()));
  self.trainer().get(out.mutable_data());
  return out;
}

void set_parameters(TrainingLoss &self, const Array<double> &values)
{
  if (std::size_t(values.size()) != self.trainer().n_parameters())
    throw Error("the model has " + std::to_string(self.trainer().n_parameters()) + " parameters, not " + std::to_string(values.size()));
  self.set(values.data());
}

int add(TrainingLoss &self, const Array<int64_t> &centre, const Array<int64_t> &neighbor, const Array<double> &edge_vec,
        const Array<int32_t> &types, double energy, const Array<double> &forces, std::optional<Array<double>> virial,
        double weight)
{
  metalff::LabelledGraph structure;
  if (neighbor.size() != centre.size() || edge_vec.size() != 3 * centre.size() || forces.size() != 3 * types.size() ||
      (virial && virial->size() != 9))
    throw Error("centre[E], neighbor[E], edge_vec[E,3], types[N], forces[N,3] and virial[3,3] do not fit together");
  metalff::fill_graph(structure.graph, centre.data(), neighbor.data(), edge_vec.data(), centre.size(), types.data(), types.size(),
                      self.trainer().layers());
  structure.energy = energy, structure.weight = weight;
  structure.forces.assign(forces.data(), forces.data() + forces.size());
  if (virial) {
    structure.virial.emplace();
    std::copy_n(virial->data(), 9, structure.virial->begin());
  }
  return self.add(std::move(structure));
}

py::tuple gradient(TrainingLoss &self, const std::vector<int> &batch, double energy_weight, double virial_weight, double huber)
{
  py::array_t<double> out(py::ssize_t(self.trainer().n_parameters()));
  double *data = out.mutable_data(), loss;
  {
    py::gil_scoped_release release;
    loss = self.gradient(batch, {energy_weight, virial_weight, huber}, data);
  }
  return py::make_tuple(loss, out);
}

py::list predict(TrainingLoss &self, const std::vector<int> &batch)
{
  std::vector<metalff::Answer> answers;
  {
    py::gil_scoped_release release;
    answers = self.predict(batch);
  }
  py::list out;
  for (const auto &a : answers)
    out.append(py::make_tuple(a.energy, py::array_t<double>({py::ssize_t(a.forces.size() / 3), py::ssize_t(3)}, a.forces.data()),
                              py::array_t<double>({3, 3}, a.virial.data())));
  return out;
}

py::tuple descriptor_range(TrainingLoss &self)
{
  const int dim = self.trainer().n_descriptors();
  py::array_t<double> low(dim), high(dim);
  std::fill_n(low.mutable_data(), dim, std::numeric_limits<double>::infinity());
  std::fill_n(high.mutable_data(), dim, -std::numeric_limits<double>::infinity());
  std::vector<double> q;
  for (int k = 0; k < self.size(); ++k) {
    const metalff::Graph &graph = self.structure(k).graph;
    q.resize(std::size_t(graph.n_owned) * dim);
    self.trainer().descriptors(graph, q.data());
    for (std::size_t c = 0; c < q.size(); ++c) {
      double &least = low.mutable_data()[c % dim], &most = high.mutable_data()[c % dim];
      least = std::min(least, q[c]), most = std::max(most, q[c]);
    }
  }
  return py::make_tuple(low, high);
}

}    // namespace

void bind_trainer(py::module_ &m)
{
  py::class_<TrainingLoss>(m, "Trainer", "Structures with labels, and the loss of a native model on them by its parameters.")
      .def(py::init<const std::string &, const std::string &, int>(), py::arg("family"), py::arg("payload"), py::arg("threads") = 1)
      .def_property("parameters", &parameters, &set_parameters)
      .def("add", &add, py::arg("centre"), py::arg("neighbor"), py::arg("edge_vec"), py::arg("types"), py::arg("energy"),
           py::arg("forces"), py::arg("virial") = py::none(), py::arg("weight") = 1.0)
      .def("gradient", &gradient, py::arg("batch"), py::arg("energy_weight"), py::arg("virial_weight"),
           py::arg("huber") = 0.0)
      .def("predict", &predict, py::arg("batch"))
      .def("descriptor_range", &descriptor_range);
}
