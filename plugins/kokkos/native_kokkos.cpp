// The native engine on a device, from graphs of the host: 'device cuda:N' of any LAMMPS and of ASE.
#include "card_kokkos.h"
#include "device_memory_kokkos.h"
#include "host_graph_kokkos.h"
#include "own_kokkos.h"

#include <cstdio>
#include <new>

namespace metalff {
namespace {

using Space = Kokkos::DefaultExecutionSpace;
constexpr bool on_host = Kokkos::SpaceAccessibility<Kokkos::HostSpace, Space::memory_space>::accessible;

/// Rows of nodes between ranks, over the host. Knows which exchanges an evaluation has, so that it can take part in the rest of them when it fails.
class Relay final : public DeviceExchange<Space> {
 public:
  /// \param widths of the rows, in the order of forward()
  Relay(Exchange *exchange, const HostGraph<Space> &graph, const Graph &host, const std::vector<int> &widths) :
      exchange_(exchange), order_(graph.order), n_owned_(host.n_owned), n_nodes_(host.n_nodes), expected_(widths)
  {
  }

  void forward(const Array<Space, double> &features, int width) override
  {
    widths.push_back(width);
    fetch(features, n_owned_, width);
    pass(width, true);
    copy_in<Space>(features, host_.data() + std::size_t(n_owned_) * width, std::int64_t(n_nodes_ - n_owned_) * width, std::int64_t(n_owned_) * width);
  }

  void reverse(const Array<Space, double> &gradients, int width) override
  {
    fetch(gradients, n_nodes_, width);
    pass(width, false);
    for (int i = 0; i < n_owned_; ++i) std::copy_n(&host_[std::size_t(order_[i]) * width], width, &device_[std::size_t(i) * width]);
    copy_in<Space>(gradients, device_.data(), std::int64_t(n_owned_) * width);
  }

  /// The exchanges that are left, of zeros.
  void finish()
  {
    if (!exchange_) return;
    const int n = int(expected_.size());
    while (done_ < 2 * n) {
      const int width = expected_[done_ < n ? done_ : 2 * n - 1 - done_];
      host_.assign(std::size_t(n_nodes_) * width, 0.0);
      pass(width, done_ < n);
    }
  }

  std::vector<int> widths;    // that there were

 private:
  void fetch(const Array<Space, double> &rows, int nodes, int width)
  {
    const std::size_t all = std::size_t(n_nodes_) * width;
    if (device_.size() < all) device_.resize(all);
    if (host_.size() < all) host_.resize(all);
    copy_out<Space>(device_.data(), rows, std::int64_t(nodes) * width);
    for (int i = 0; i < nodes; ++i) std::copy_n(&device_[std::size_t(i) * width], width, &host_[std::size_t(order_[i]) * width]);
  }
  void pass(int width, bool forward)
  {
    ++done_;
    forward ? exchange_->forward(host_.data(), width) : exchange_->reverse(host_.data(), width);
  }

  Exchange *const exchange_;
  const std::vector<int> &order_;
  const int n_owned_, n_nodes_;
  const std::vector<int> expected_;
  int done_ = 0;
  std::vector<double> device_, host_;    // rows in the order of each
};

class NativeOnDevice final : public Model, private Resident {
  /// Tables of more elements than this are made for those that a run has.
  static constexpr std::size_t few_elements = 8;

 public:
  NativeOnDevice(const Artifact &artifact, const Options &options) : artifact_(artifact), options_(options)
  {
    const bool exact = options.knots == 0 && artifact.payloads.count("native/mace.safetensors");
    if (exact) throw Error("the native engine takes radial functions from splines on " + options.device + ": leave out 'spline 0', or use 'device cpu'");
    present_.assign(artifact.elements.size(), artifact.elements.size() <= few_elements);
    present_[0] = 1;
    OwnKokkos::start(options);
    OwnKokkos::enter(this);
    try {
      const OwnKokkos::Turn turn;
      state_ = std::make_unique<State>();
      guarded([&] { open(); });
      widths_.assign(std::max(0, artifact.layers - 1), feature_width());
    } catch (...) {
      OwnKokkos::leave(this);
      throw;
    }
    words_ = std::string("native, Kokkos ") + Space::name();
    if (!on_host) words_ += " on " + OwnKokkos::describe(options.device);
  }
  ~NativeOnDevice() override { OwnKokkos::leave(this); }

  std::string engine() const override { return words_; }
  int feature_width() const override { return state_ ? state_->model->feature_width() : 0; }

  /// Of the device, which is asked here; of the host nothing, unless it is the device.
  Need memory(const Graph &graph) override
  {
    Need need;
    if (graph.n_owned > 0) guarded([&] {
      const OwnKokkos::Turn turn;
      prepare(graph);
      const double bytes = check_memory();
      if (on_host) need.kept = bytes;
    });
    return need;
  }

  void evaluate(const Graph &graph, double *energy, double *grad, Exchange *exchange) override
  {
    if (graph.n_owned == 0 && !exchange) return;
    guarded([&] {
      const OwnKokkos::Turn turn;
      HostGraph<Space> &on_device = state_->graph;
      Relay relay(exchange, on_device, graph, widths_);
      try {
        prepare(graph);
        if (!exchange && graph.n_nodes > graph.n_owned && feature_width() > 0)
          throw Error("the native engine on " + options_.device + " takes features of ghosts from their owners: leave out 'ghosts wide'");
        check_memory();
        on_device.send(graph);
        state_->model->evaluate(on_device.graph, on_device.energy, on_device.grad, exchange ? &relay : nullptr);
        on_device.fetch(energy, grad);
      } catch (...) {
        relay.finish();
        throw;
      }
      if (exchange) widths_ = relay.widths;
    });
  }

 private:
  struct State {
    std::unique_ptr<DeviceModel<Space>> model;
    HostGraph<Space> graph;
  };

  void leave() override { state_.reset(); }

  void open() { state_->model = open_device_model<Space>(artifact_, options_, present_); }

  /// The plan of a graph, and tables for its elements.
  void prepare(const Graph &graph)
  {
    bool more = false;
    for (int i = 0; i < graph.n_nodes; ++i)
      if (!present_[graph.types[i]]) present_[graph.types[i]] = more = true;
    if (more) {
      state_->model.reset();
      open();
    }
    state_->graph.plan(graph);
  }

  /// Bytes that the graph that was planned will take. Throws Error when the device has less.
  double check_memory() const
  {
    const double need = state_->graph.missing_bytes() + state_->model->bytes(state_->graph.graph);
    if (need == 0.0 || on_host) return need;
    const double left = free_bytes<Space>();
    if (need <= left) return need;
    char numbers[128];
    std::snprintf(numbers, sizeof numbers, "%.0f MB of memory more than %s has left (%.0f MB needed, %.0f MB left)", (need - left) / 1e6,
                  options_.device.c_str(), need / 1e6, left / 1e6);
    throw Error(std::string("the native engine needs ") + numbers + ": use a smaller 'chunk', 'precision single', fewer atoms or more GPUs");
  }

  /// What Kokkos throws becomes one sentence.
  template <typename Act> void guarded(Act &&act) const
  {
    try {
      act();
    } catch (const Error &) {
      throw;
    } catch (const std::bad_alloc &e) {
      throw Error("no memory is left on " + options_.device + " (" + first_line(e.what()) + "): use a smaller 'chunk', 'precision single', fewer atoms or more GPUs");
    } catch (const std::exception &e) {
      const std::string said = first_line(e.what());
      if (said.find("llocat") != std::string::npos)
        throw Error("no memory is left on " + options_.device + " (" + said + "): use a smaller 'chunk', 'precision single', fewer atoms or more GPUs");
      throw Error("the native engine failed on " + options_.device + " (" + said + ")");
    }
  }
  static std::string first_line(const std::string &text) { return text.substr(0, text.find('\n')); }

  const Artifact artifact_;
  const Options options_;
  std::vector<char> present_;     // elements that the tables are made for
  std::vector<int> widths_;       // of the rows exchanged: as the last evaluation had them, before the first as most models have them
  std::unique_ptr<State> state_;
  std::string words_;
};

}    // namespace
}    // namespace metalff

extern "C" __attribute__((visibility("default"))) metalff::Model *metalff_load_device_model(const metalff::Artifact &artifact,
                                                                                             const metalff::Options &options)
{
  return new metalff::NativeOnDevice(artifact, options);
}

extern "C" __attribute__((visibility("default"))) void metalff_describe_device(const std::string &device, std::string &words)
{
  words = metalff::OwnKokkos::describe(device);
}
