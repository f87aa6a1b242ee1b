// A model that is a compiled torch program (AOTInductor): the general path and the reference.
// Built as a library of its own (mlff_torch.so); model.cpp loads it.
#include "error.h"
#include "model.h"

#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/inductor/aoti_runner/model_container_runner_cpu.h>
#ifdef USE_CUDA
#include <torch/csrc/inductor/aoti_runner/model_container_runner_cuda.h>
#endif

#include <algorithm>

namespace metalff {
namespace {

using torch::inductor::AOTIModelContainerRunner;

std::unique_ptr<AOTIModelContainerRunner> load(const std::string &library, const Options &options)
{
  if (options.device == "cpu") return std::make_unique<torch::inductor::AOTIModelContainerRunnerCpu>(library);
#ifdef USE_CUDA
  if (options.device.starts_with("cuda"))
    return std::make_unique<torch::inductor::AOTIModelContainerRunnerCuda>(library, 1, options.device);
#endif
  throw Error("device '" + options.device + "' is not available in this build of MetalFF: use 'device cpu', or build "
              "against a torch with that device");
}

class TorchModel : public Model {
 public:
  TorchModel(const Artifact &artifact, const std::string &library, const Options &options) :
      runner_(load(library, options)), device_(options.device), single_(options.single), threads_(options.threads),
      pad_length_(2.0 * artifact.r_max)
  {
  }

  void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad) override
  {
    at::set_num_threads(threads_);
    const c10::InferenceMode guard;
    expand(graph);
    const auto real = single_ ? at::kFloat : at::kDouble;
    void *vec = single_ ? static_cast<void *>(edge_vec32_.data()) : edge_vec_.data();
    void *mask = single_ ? static_cast<void *>(mask32_.data()) : mask_.data();
    std::vector<at::Tensor> inputs = {
        at::from_blob(vec, {n_edges_, 3}, real), at::from_blob(edge_index_.data(), {2, n_edges_}, at::kLong),
        at::from_blob(types_.data(), {n_nodes_}, at::kLong), at::from_blob(mask, {n_nodes_}, real)};
    if (device_ != "cpu")
      for (auto &input : inputs) input = input.to(at::Device(device_));

    const auto outputs = runner_->boxed_run(std::move(inputs));
    collect(outputs.at(0), graph.n_nodes, atomic_energy);
    collect(outputs.at(1), graph.n_edges() * 3, edge_grad);
  }

 private:
  /// CSR → edge_index. The program was exported for two or more nodes and edges; where there are fewer, two nodes of no
  /// weight are added, joined by edges beyond the cutoff.
  void expand(const Graph &graph)
  {
    const int64_t edges = graph.n_edges();
    const bool pad = graph.n_nodes < 2 || edges < 2;
    n_nodes_ = graph.n_nodes + (pad ? 2 : 0);
    n_edges_ = edges + (pad ? 2 : 0);
    reserve_for(edge_index_, 2 * n_edges_);
    reserve_for(types_, n_nodes_);

    int64_t *centre = edge_index_.data(), *neighbor = centre + n_edges_;
    for (int i = 0; i < graph.n_nodes; ++i)
      for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e) centre[e] = i;
    std::copy_n(graph.neighbor.data(), edges, neighbor);
    std::copy_n(graph.types.data(), graph.n_nodes, types_.data());
    if (pad) {
      for (int k = 0; k < 2; ++k) {
        types_[graph.n_nodes + k] = 0;
        centre[edges + k] = graph.n_nodes + k;
        neighbor[edges + k] = graph.n_nodes + 1 - k;
      }
    }
    if (single_)
      fill(graph, edges, edge_vec32_, mask32_);
    else
      fill(graph, edges, edge_vec_, mask_);
  }

  template <typename T> void fill(const Graph &graph, int64_t edges, std::vector<T> &vec, std::vector<T> &mask)
  {
    reserve_for(vec, 3 * n_edges_);
    reserve_for(mask, n_nodes_);
    std::copy_n(graph.edge_vec.data(), 3 * edges, vec.data());
    for (int64_t e = edges; e < n_edges_; ++e) {
      vec[3 * e] = T(e == edges ? pad_length_ : -pad_length_);
      vec[3 * e + 1] = vec[3 * e + 2] = T(0);
    }
    std::fill_n(mask.data(), graph.n_owned, T(1));
    std::fill(mask.data() + graph.n_owned, mask.data() + n_nodes_, T(0));
  }

  static void collect(const at::Tensor &output, int64_t count, double *out)
  {
    const at::Tensor host = output.to(at::kCPU).contiguous();
    if (host.scalar_type() == at::kFloat)
      std::copy_n(host.const_data_ptr<float>(), count, out);
    else
      std::copy_n(host.const_data_ptr<double>(), count, out);
  }

  std::unique_ptr<AOTIModelContainerRunner> runner_;
  const std::string device_;
  const bool single_;
  const int threads_;
  const double pad_length_;
  int64_t n_nodes_ = 0, n_edges_ = 0;
  std::vector<int64_t> edge_index_, types_;
  std::vector<double> edge_vec_, mask_;
  std::vector<float> edge_vec32_, mask32_;
};

}    // namespace
}    // namespace metalff

extern "C" __attribute__((visibility("default"))) metalff::Model *metalff_load_torch_model(
    const metalff::Artifact &artifact, const std::string &library, const metalff::Options &options)
{
  try {
    return new metalff::TorchModel(artifact, library, options);
  } catch (const c10::Error &e) {
    throw metalff::Error("'" + artifact.path + "' could not be loaded on device " + options.device + ": " +
                         e.what_without_backtrace());
  }
}
