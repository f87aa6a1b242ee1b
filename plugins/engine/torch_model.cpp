// A model that is a compiled torch program (AOTInductor): the general path and the reference.
#include "torch_model.h"

#include "error.h"
#include "memory.h"
#include "torch_library.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <type_traits>
#include <utility>

namespace metalff {
namespace {

using Tensor = TorchLibrary::Tensor;

/// Some centres and the nodes at the ends of their edges, as the programs want them: centres come first.
template <typename T> class Chunk {
 public:
  /// Centres [begin, end) of the graph. The programs were exported for two or more nodes and edges; where there are
  /// fewer, two centres of no weight are added, joined by edges beyond the cutoff.
  void take(const Graph &graph, int begin, int end, double pad_length)
  {
    const int64_t first = end > begin ? graph.first[begin] : 0, edges = end > begin ? graph.first[end] - first : 0;
    const int pads = end - begin < 2 || edges < 2 ? 2 : 0;
    centres = end - begin + pads;
    n_edges = edges + pads;
    first_edge = first, real_edges = edges, real_centres = end - begin;
    reserve_for(edge_index, 2 * n_edges);
    reserve_for(edge_vec, 3 * n_edges);
    reserve_for(mask, centres);
    if (slot_.size() < std::size_t(graph.n_nodes)) slot_.assign(graph.n_nodes + graph.n_nodes / 10, {0, 0});
    ++stamp_;

    node.resize(centres);
    for (int i = begin; i < end; ++i) {
      slot_[i] = {stamp_, i - begin};
      node[i - begin] = i;
      mask[i - begin] = T(i < graph.n_owned);
    }
    int64_t *centre = edge_index.data(), *neighbor = centre + n_edges;
    for (int i = begin; i < end; ++i)
      for (int64_t e = graph.first[i]; e < graph.first[i + 1]; ++e) {
        const int j = graph.neighbor[e];
        if (slot_[j].first != stamp_) {
          slot_[j] = {stamp_, int(node.size())};
          node.push_back(j);
        }
        centre[e - first] = i - begin;
        neighbor[e - first] = slot_[j].second;
      }
    std::copy_n(graph.edge_vec.data() + 3 * first, 3 * edges, edge_vec.data());
    for (int k = 0; k < pads; ++k) {
      node[end - begin + k] = -1;
      mask[end - begin + k] = T(0);
      centre[edges + k] = end - begin + k;
      neighbor[edges + k] = end - begin + 1 - k;
      edge_vec[3 * (edges + k)] = T(k ? pad_length : -pad_length);
      edge_vec[3 * (edges + k) + 1] = edge_vec[3 * (edges + k) + 2] = T(0);
    }
    reserve_for(types, node.size());
    for (std::size_t k = 0; k < node.size(); ++k) types[k] = node[k] < 0 ? 0 : graph.types[node[k]];
  }

  /// Rows of the chunk's first `count` nodes out of those of all nodes.
  T *gather(const std::vector<double> &all, int width, std::size_t count, std::vector<T> &rows) const
  {
    reserve_for(rows, count * width);
    for (std::size_t k = 0; k < count; ++k) {
      if (node[k] < 0 || zeros)
        std::fill_n(&rows[k * width], width, T(0));
      else
        std::copy_n(&all[std::size_t(node[k]) * width], width, &rows[k * width]);
    }
    return rows.data();
  }

  int centres = 0, real_centres = 0;
  int64_t n_edges = 0, first_edge = 0, real_edges = 0;
  std::vector<int> node;    // [n] node of the graph; -1: added
  std::vector<int64_t> edge_index, types;
  std::vector<T> edge_vec, mask, features, grad_next;
  bool zeros = false;       // gather() gives zeros: no features are there yet

 private:
  std::vector<std::pair<int64_t, int>> slot_;    // [n_nodes] (stamp of the chunk that saw the node, its place there)
  int64_t stamp_ = 0;
};

/// One program per layer forward, one for the last layer with its gradients, one per layer backward.
template <typename T> class TorchModel : public Model {
 public:
  TorchModel(const Artifact &artifact, const std::string &programs, const Options &options) :
      torch_(TorchLibrary::open(options.device != "cpu")), cuda_(options.device == "cpu" ? -1 : std::stoi(options.device.substr(5))),
      threads_(options.threads), chunk_(options.chunk), layers_(artifact.layers), pad_length_(2.0 * artifact.r_max),
      features_(layers_), grads_(layers_), width_(layers_, 0)
  {
    auto program = [&](const std::string &name) {
      const std::string file = programs + "/" + name + ".so";
      if (!std::filesystem::exists(file))
        throw Error("'" + artifact.path + "' has no program '" + name + "' though its manifest says " +
                    std::to_string(layers_) + " layer(s): deploy the model again");
      return std::make_unique<TorchProgram>(torch_, file, options.device);
    };
    for (int k = 0; k + 1 < layers_; ++k) forward_.push_back(program("forward" + std::to_string(k)));
    last_ = program("last");
    for (int k = 0; k + 1 < layers_; ++k) backward_.push_back(program("backward" + std::to_string(k)));

    // widths of the features: from a graph without nodes
    data_.take(Graph(), 0, 0, pad_length_);
    for (int k = 0; k + 1 < layers_; ++k) width_[k + 1] = int(torch_.size(run(*forward_[k], k, false, 2).at(1), 1));
  }

  std::string engine() const override { return "torch"; }

  int feature_width() const override { return *std::max_element(width_.begin(), width_.end()); }

  Need memory(const Graph &graph) override
  {
    if (cuda_ >= 0 || graph.n_owned == 0) return {};
    const double size = std::min(chunk_of(graph.n_owned), graph.n_owned);
    double rows = 0.0;
    for (int k = 1; k < layers_; ++k) {
      const double wanted = 1.1 * graph.n_nodes * width_[k];
      rows += std::max(0.0, wanted - double(features_[k].capacity())) + std::max(0.0, wanted - double(grads_[k].capacity()));
    }
    const double edges = double(graph.first[graph.n_owned]) / graph.n_owned;
    if (bytes_per_edge_ < 0.0) {
      const int centres = int(std::min(size, 1024.0));
      probe(graph, 1);    // what is touched once, the code of torch above all, is not of a chunk
      trim_heap();
      const double before = resident_bytes();
      if (!forget_peak()) return {};
      probe(graph, centres);
      bytes_per_edge_ = std::max(0.0, peak_bytes() - before) / std::max(1.0, centres * edges);
    }
    return {rows * sizeof(double), size * edges * bytes_per_edge_};
  }

  void evaluate(const Graph &graph, double *atomic_energy, double *edge_grad, Exchange *exchange) override
  {
    torch_.set_threads(threads_);
    std::exception_ptr failure;    // other ranks wait in the exchanges: fail after them
    auto attempt = [&](auto &&work) {
      if (failure) return;
      try {
        work();
      } catch (...) {
        failure = std::current_exception();
      }
    };
    std::fill_n(atomic_energy, graph.n_nodes, 0.0);
    std::fill_n(edge_grad, 3 * graph.n_edges(), 0.0);
    for (int k = 1; k < layers_; ++k) {
      reserve_for(features_[k], std::size_t(graph.n_nodes) * width_[k]);
      reserve_for(grads_[k], std::size_t(graph.n_nodes) * width_[k]);
      std::fill_n(grads_[k].data(), std::size_t(graph.n_nodes) * width_[k], 0.0);
    }

    for (int k = 0; k + 1 < layers_; ++k) {
      attempt([&] { over_chunks(graph, k, [&] { forward(k, atomic_energy); }); });
      if (exchange) exchange->forward(features_[k + 1].data(), width_[k + 1]);
    }
    attempt([&] { over_chunks(graph, layers_ - 1, [&] { last(atomic_energy, edge_grad); }); });
    for (int k = layers_ - 2; k >= 0; --k) {
      if (exchange) exchange->reverse(grads_[k + 1].data(), width_[k + 1]);
      attempt([&] { over_chunks(graph, k, [&] { backward(k, edge_grad); }); });
    }
    if (failure) std::rethrow_exception(failure);
  }

 private:
  static constexpr auto real = std::is_same_v<T, float> ? TorchLibrary::FLOAT32 : TorchLibrary::FLOAT64;

  int chunk_of(int count) const { return chunk_ > 0 ? chunk_ : cuda_ < 0 ? default_chunk : count; }

  /// Every program once, on the first centres and features of nothing.
  void probe(const Graph &graph, int centres)
  {
    torch_.set_threads(threads_);
    data_.take(graph, 0, centres, pad_length_);
    data_.zeros = true;
    for (int k = 0; k + 1 < layers_; ++k) run(*forward_[k], k, false, 2);
    run(*last_, layers_ - 1, false, layers_ > 1 ? 3 : 2);
    for (int k = 0; k + 1 < layers_; ++k) run(*backward_[k], k, true, k ? 2 : 1);
    data_.zeros = false;
  }

  template <typename Work> void over_chunks(const Graph &graph, int k, Work &&work)
  {
    const int count = graph.reach[layers_ - 1 - k];
    const int size = chunk_of(count);
    for (int begin = 0; begin < count; begin += size) {
      data_.take(graph, begin, std::min(begin + size, count), pad_length_);
      work();
    }
  }

  void forward(int k, double *atomic_energy)
  {
    auto outputs = run(*forward_[k], k, false, 2);
    add_energy(outputs[0], atomic_energy);
    const int width = width_[k + 1];
    const T *rows = values(outputs[1], std::size_t(data_.centres) * width);
    for (int i = 0; i < data_.real_centres; ++i)
      std::copy_n(rows + i * width, width, &features_[k + 1][std::size_t(data_.node[i]) * width]);
  }

  void last(double *atomic_energy, double *edge_grad)
  {
    auto outputs = run(*last_, layers_ - 1, false, layers_ > 1 ? 3 : 2);
    add_energy(outputs[0], atomic_energy);
    add_gradients(outputs, 1, layers_ - 1, edge_grad);
  }

  void backward(int k, double *edge_grad)
  {
    auto outputs = run(*backward_[k], k, true, k ? 2 : 1);
    add_gradients(outputs, 0, k, edge_grad);
  }

  void add_energy(Tensor &output, double *atomic_energy) const
  {
    const T *energy = values(output, data_.centres);
    for (int i = 0; i < data_.real_centres; ++i) atomic_energy[data_.node[i]] += energy[i];
  }

  /// Outputs `at` (dE/d edge_vec) and, beyond the first layer, the next one (dE/d features).
  void add_gradients(std::vector<Tensor> &outputs, int at, int k, double *edge_grad)
  {
    const T *edges = values(outputs[at], 3 * data_.n_edges);
    double *out = edge_grad + 3 * data_.first_edge;
    for (int64_t e = 0; e < 3 * data_.real_edges; ++e) out[e] += edges[e];
    if (k == 0) return;
    const int width = width_[k];
    const T *rows = values(outputs[at + 1], data_.node.size() * width);
    for (std::size_t n = 0; n < data_.node.size(); ++n) {
      if (data_.node[n] < 0) continue;
      const T *row = rows + n * width;
      double *sum = &grads_[k][std::size_t(data_.node[n]) * width];
      for (int c = 0; c < width; ++c) sum[c] += row[c];
    }
  }

  /// The `count` numbers of an output, row by row; the output keeps them.
  const T *values(Tensor &output, std::size_t count) const
  {
    output = torch_.on_host(std::move(output), cuda_);
    if (!torch_.holds(output, count, real))
      throw Error("a program of this model gives other arrays than the contract asks for: deploy the model again");
    return static_cast<const T *>(torch_.data(output));
  }

  /// Runs a program of layer k on the chunk at hand; it has so many outputs.
  std::vector<Tensor> run(TorchProgram &program, int k, bool backward, std::size_t outputs)
  {
    const int64_t n = data_.node.size();
    std::vector<Tensor> inputs;
    auto give = [&](void *data, std::vector<int64_t> sizes, TorchLibrary::Type type) {
      inputs.push_back(torch_.wrap(data, sizes, type, cuda_));
    };
    give(data_.edge_vec.data(), {data_.n_edges, 3}, real);
    give(data_.edge_index.data(), {2, data_.n_edges}, TorchLibrary::INT64);
    give(data_.types.data(), {n}, TorchLibrary::INT64);
    give(data_.mask.data(), {data_.centres}, real);
    if (k > 0) give(data_.gather(features_[k], width_[k], n, data_.features), {n, width_[k]}, real);
    if (backward)
      give(data_.gather(grads_[k + 1], width_[k + 1], data_.centres, data_.grad_next), {data_.centres, width_[k + 1]}, real);
    auto results = program.run(std::move(inputs));
    if (results.size() != outputs)
      throw Error("a program of this model gives " + std::to_string(results.size()) + " arrays, not " + std::to_string(outputs) +
                  ": deploy the model again");
    return results;
  }

  static constexpr int default_chunk = 32;    // its intermediate tensors stay in the cache (benchmarks/message_passing.py)

  const TorchLibrary &torch_;
  const int cuda_;    // number of the device; -1: the processor
  const int threads_, chunk_, layers_;
  const double pad_length_;
  std::vector<std::unique_ptr<TorchProgram>> forward_, backward_;
  std::unique_ptr<TorchProgram> last_;
  Chunk<T> data_;
  std::vector<std::vector<double>> features_, grads_;    // [layers][n_nodes * width] what a layer starts from; the first: nothing
  std::vector<int> width_;
  double bytes_per_edge_ = -1.0;    // of a chunk, at its peak; negative: not measured yet
};

}    // namespace

std::unique_ptr<Model> load_torch_model(const Artifact &artifact, const std::string &programs, const Options &options)
{
  if (options.single) return std::make_unique<TorchModel<float>>(artifact, programs, options);
  return std::make_unique<TorchModel<double>>(artifact, programs, options);
}

}    // namespace metalff
