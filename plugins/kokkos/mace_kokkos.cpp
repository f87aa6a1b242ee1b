// MACE on a device: the stages of a layer (native/mace_stages.h), each over all atoms of a chunk.
#include "mace_kokkos.h"

#include "arrays_kokkos.h"
#include "engine/error.h"
#include "engine/native/mace_stages.h"
#include "launch_kokkos.h"

#include <algorithm>
#include <cmath>

namespace metalff {
namespace {

template <class Space, typename T, int W> class DeviceMace final : public DeviceModel<Space> {
  using P = LanesOn<Space, T, W>;
  using Execution = typename Space::execution_space;
  using Range = Kokkos::RangePolicy<Execution>;
  using Each = Kokkos::RangePolicy<Execution, Kokkos::IndexType<std::int64_t>>;
  using Layer = MaceLayerTable<T>;
  static constexpr double chunk_bytes = P::width > 1 ? 4e9 : 2.5e8;

 public:
  DeviceMace(const MaceWeights &weights, const Options &options, const std::vector<char> &present) : chunk_(options.chunk), zbl_(weights.zbl)
  {
    MaceTables<T> tables = mace_tables<T>(weights, P::width, options.knots, present);
    block_ = Array<Space, std::byte>(Kokkos::view_alloc("mlff:model", Kokkos::WithoutInitializing), tables.block.size());
    Kokkos::deep_copy(block_, Kokkos::View<const std::byte *, Kokkos::HostSpace>(tables.block.data(), tables.block.size()));
    layers_ = std::move(tables.layers);
    for (Layer &layer : layers_)
      layer.each_pointer([&](auto &pointer) {
        if (pointer)
          pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(block_.data() + reinterpret_cast<std::size_t>(pointer));
      });
    buffers_.resize(layers_.size());
    auto numbers = [](const char *name, const std::vector<double> &values) {
      Array<Space, double> array(Kokkos::view_alloc(std::string(name), Kokkos::WithoutInitializing), values.size());
      Kokkos::deep_copy(array, Kokkos::View<const double *, Kokkos::HostSpace>(values.data(), values.size()));
      return array;
    };
    energy_ = numbers("mlff:energies of atoms", weights.energy);
    number_ = numbers("mlff:atomic numbers", weights.atomic_number), radius_ = numbers("mlff:radii", weights.covalent_radius);
  }

  int feature_width() const override
  {
    int most = 0;
    for (std::size_t k = 1; k < layers_.size(); ++k) most = std::max(most, layers_[k].sent_width());
    return most;
  }

  double bytes(const DeviceGraph<Space> &graph) const override
  {
    double want = chunk_atoms(graph) * chunk_need(graph);
    for (std::size_t k = 0; k < layers_.size(); ++k) {
      const Layer &t = layers_[k];
      want += double(graph.n_owned) * sizeof(T) * t.C * (2.0 * squared(t.l_out) + (k + 1 < layers_.size() ? squared(t.l_mid) : 0) + 2);
      if (k > 0) want += 2.0 * sizeof(T) * graph.n_nodes * t.sent_width();
    }
    if (sizeof(T) == 4) want += 8.0 * graph.n_nodes * feature_width();
    double have = 0.0;
    auto add = [&](const auto &array) { have += double(array.size()) * sizeof(T); };
    for (const Buffers &b : buffers_) add(b.features), add(b.dfeatures), add(b.kept), add(b.sent), add(b.dsent), add(b.density), add(b.ddensity);
    add(messages_), add(product_), add(dlinear_), add(kept_), add(slots_);
    return std::max(0.0, want - have);
  }

  void evaluate(const DeviceGraph<Space> &graph, const Array<Space, double> &energy, const Array<Space, double> &grad,
                DeviceExchange<Space> *exchange) override
  {
    const int last = int(layers_.size()) - 1;
    begin(graph, energy, grad);
    for (int k = 0; k <= last; ++k) {
      each_chunk(graph, [&](int first, int end) {
        forward(graph, k, first, end, energy);
        if (k == last) backward(graph, k, first, end, grad);
      });
      if (k < last) {
        send(graph, k);
        if (exchange) exchanged(graph, layers_[k + 1], buffers_[k + 1].sent, [&](const auto &rows, int width) { exchange->forward(rows, width); });
      }
    }
    for (int k = last; k > 0; --k) {
      if (exchange) exchanged(graph, layers_[k], buffers_[k].dsent, [&](const auto &rows, int width) { exchange->reverse(rows, width); });
      receive(graph, k);
      each_chunk(graph, [&](int first, int end) { backward(graph, k - 1, first, end, grad); });
    }
  }

 // not private: nvcc takes no lambda in a private function
  /// Numbers of a layer that outlive a chunk, by owned node, and what nodes send; all of the device.
  struct Buffers {
    Array<Space, T> features, dfeatures, kept, sent, dsent, density, ddensity;
  };

  static int squared(int l) { return (l + 1) * (l + 1); }

  /// Bytes of a chunk per atom, of the layer that takes most.
  double chunk_need(const DeviceGraph<Space> &graph) const
  {
    double most = 0.0;
    for (std::size_t k = 0; k < layers_.size(); ++k) {
      const Layer &t = layers_[k];
      most = std::max(most, sizeof(T) * (double(t.messages()) + t.C * (2.0 * squared(t.l_mid) + squared(t.l_out)) +
                                         (k > 0 ? double(graph.longest) * t.sent_width() : 0.0)));
    }
    return most;
  }
  int chunk_atoms(const DeviceGraph<Space> &graph) const
  {
    if (chunk_ > 0) return std::min(chunk_, std::max(1, graph.n_owned));
    const double fit = chunk_bytes / chunk_need(graph);
    return std::max(1, std::min(graph.n_owned, std::max(1024, int(std::min(fit, 1e9)))));
  }

  template <typename Act> void each_chunk(const DeviceGraph<Space> &graph, Act &&act)
  {
    const int most = chunk_atoms(graph);
    for (int first = 0; first < graph.n_owned; first += most) act(first, std::min(graph.n_owned, first + most));
  }

  /// Calls act(type, first, end) for the atoms of a chunk that are of one element; of all at once where the element does not matter.
  template <typename Act> static void each_run(const DeviceGraph<Space> &graph, bool matters, int first, int end, Act &&act)
  {
    if (!matters) return act(0, first, end);
    for (const auto &run : graph.runs)
      if (std::max(first, run.begin) < std::min(end, run.end)) act(run.type, std::max(first, run.begin), std::min(end, run.end));
  }

  /// The maps that product(l) describes, up to l_max, all at once.
  template <class MatrixA, class MatrixC, typename Make> static void multiply(const char *name, int l_max, Make &&product)
  {
    MultiplyRows<P, MatrixA, MatrixC> rows;
    for (int l = 0; l <= l_max; ++l) rows.push(product(l));
    over<Space, P>(name, rows.items(), 0, rows);
  }
  using Straight = MultiplyRows<P, ByRow<const T>, ByRow<T>>;
  /// One map for all rows of l, forward or backward.
  static typename Straight::Product straight(int atoms, int l, const LinearTable<T> &map, int type, bool forward, const ByRow<const T> &A,
                                             const ByRow<T> &C, bool add)
  {
    return {atoms * (2 * l + 1), forward ? map.out : map.in, forward ? map.in : map.out, A, (forward ? map.matrix : map.transposed) + map.of(type), C, add};
  }

  GraphRows rows(const DeviceGraph<Space> &graph) const
  {
    return {graph.types.data(), graph.first.data(), graph.count.data(), graph.neighbor.data(), graph.vec.data()};
  }
  FeatureRows<T> features(const DeviceGraph<Space> &graph, int k) { return {buffers_[k].features.data(), layers_[k].C, std::size_t(graph.n_owned)}; }
  FeatureRows<T> dfeatures(const DeviceGraph<Space> &graph, int k) { return {buffers_[k].dfeatures.data(), layers_[k].C, std::size_t(graph.n_owned)}; }
  /// What the product basis starts from, of the atoms from `first` on.
  FeatureRows<T> kept(const DeviceGraph<Space> &graph, int k, int first, int end)
  {
    if (k + 1 < int(layers_.size())) return {buffers_[k].kept.data(), layers_[k].C, std::size_t(graph.n_owned), std::size_t(first)};
    return {kept_.data(), layers_[k].C, std::size_t(end - first)};
  }
  ByRow<T> by_row(const FeatureRows<T> &rows, int l) const { return {rows.of(l, 0), std::size_t(rows.channels)}; }
  ByRow<const T> by_row(const FeatureRows<const T> &rows, int l) const { return {rows.of(l, 0), std::size_t(rows.channels)}; }

  /// Room, energies of free atoms, repulsion.
  void begin(const DeviceGraph<Space> &graph, const Array<Space, double> &energy, const Array<Space, double> &grad)
  {
    const std::size_t n = graph.n_owned, chunk = chunk_atoms(graph);
    std::size_t messages = 0, mid = 0, out = 0, slots = 0;
    for (std::size_t k = 0; k < layers_.size(); ++k) {
      const Layer &t = layers_[k];
      Buffers &b = buffers_[k];
      make_room<Space>(b.features, n * squared(t.l_out) * t.C, "features"), make_room<Space>(b.dfeatures, n * squared(t.l_out) * t.C, "dfeatures");
      if (k + 1 < layers_.size()) make_room<Space>(b.kept, n * squared(t.l_mid) * t.C, "kept");
      if (t.has_density) make_room<Space>(b.density, n, "density"), make_room<Space>(b.ddensity, n, "ddensity");
      messages = std::max(messages, t.messages()), mid = std::max<std::size_t>(mid, squared(t.l_mid) * t.C);
      out = std::max<std::size_t>(out, squared(t.l_out) * t.C);
      if (k == 0) continue;
      make_room<Space>(b.sent, std::size_t(graph.n_nodes) * t.sent_width(), "sent"), make_room<Space>(b.dsent, std::size_t(graph.n_nodes) * t.sent_width(), "dsent");
      slots = std::max<std::size_t>(slots, std::size_t(graph.longest) * t.sent_width());
    }
    make_room<Space>(messages_, chunk * messages, "messages"), make_room<Space>(product_, chunk * out, "product");
    make_room<Space>(dlinear_, chunk * mid, "dlinear"), make_room<Space>(kept_, chunk * mid, "kept of a chunk"), make_room<Space>(slots_, chunk * slots, "slots");

    const auto types = graph.types, first = graph.first, count = graph.count, neighbor = graph.neighbor;
    const auto vec = graph.vec, free = energy_, number = number_, radius = radius_;
    const MaceZbl zbl = zbl_;
    const double r_max = layers_[0].r_max;
    Kokkos::parallel_for(
        "mlff/mace/begin", Range(0, graph.n_owned), KOKKOS_LAMBDA(const int i) {
          double sum = free(types(i));
          for (int e = first(i); e < first(i) + count(i); ++e) {
            double *g = &grad(3 * std::size_t(e)), half = 0.0, slope = 0.0;
            g[0] = g[1] = g[2] = 0.0;
            if (!zbl.present) continue;
            const double *v = &vec(3 * std::size_t(e)), r = std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            const int a = types(i), b = types(neighbor(e));
            if (r >= r_max || !mace_zbl(zbl, {number(a), number(b), radius(a) + radius(b)}, r, half, slope)) continue;
            sum += half;
            for (int c = 0; c < 3; ++c) g[c] = slope * v[c] / r;
          }
          energy(i) = sum;
        });
  }

  /// Messages of l, or dE/d them, from the a-th atom of a chunk on.
  ByRow<const T> message_rows(const Layer &t, int l, int chunk, int a) const
  {
    const std::size_t stride = t.linear[l].in;
    return {messages_.data() + t.message_start[l] * chunk + std::size_t(a) * (2 * l + 1) * stride, stride};
  }

  Sources<T> sources(int k, bool slots)
  {
    if (k == 0) return {nullptr, nullptr};
    return {buffers_[k].sent.data(), slots ? slots_.data() : nullptr};
  }

  /// From messages to features and energies of a chunk.
  void forward(const DeviceGraph<Space> &graph, int k, int first, int end, const Array<Space, double> &energy)
  {
    const Layer &t = layers_[k];
    const int chunk = end - first;
    const std::size_t memory = EdgeBatch<P>::bytes(t);
    if (k == 0)
      over<Space, P>("mlff/mace/messages of the first layer", chunk, memory,
                     GatherMessages<P, true>{{t, rows(graph), first, chunk, sources(k, false)}, messages_.data(), buffers_[k].density.data()});
    else
      over<Space, P>("mlff/mace/messages", chunk, memory,
                     GatherMessages<P, false>{{t, rows(graph), first, chunk, sources(k, false)}, messages_.data(), buffers_[k].density.data()});
    const FeatureRows<T> x = kept(graph, k, first, end), y{product_.data(), t.C, std::size_t(chunk)};
    each_run(graph, t.linear[0].types > 1, first, end, [&](int type, int begin, int stop) {
      multiply<ByRow<const T>, ByRow<T>>("mlff/mace/linear", t.l_mid, [&](int l) {
        return straight(stop - begin, l, t.linear[l], type, true, message_rows(t, l, chunk, begin - first), by_row(x.from(begin - first), l), false);
      });
    });
    if (t.has_density)
      over<Space, P>("mlff/mace/density", chunk, 0, DivideByDensity<P>{t.l_mid, x, buffers_[k].density.data() + first});
    const int registers = t.C / P::width;
    each_run(graph, t.product_types > 1, first, end, [&](int type, int begin, int stop) {
      over<Space, P>("mlff/mace/product", (stop - begin + product_atoms - 1) / product_atoms * registers, 0,
                     ProductForward<P>{t.product, type, stop - begin, registers, x.from(begin - first).constant(), y.from(begin - first)});
    });
    const FeatureRows<T> z = features(graph, k).from(first);
    multiply<ByRow<const T>, ByRow<T>>("mlff/mace/update", t.l_out, [&](int l) {
      return straight(chunk, l, t.post[l], 0, true, by_row(y.constant(), l), by_row(z, l), false);
    });
    skip(graph, k, first, end);
    const FeatureRows<T> dz = dfeatures(graph, k).from(first);
    clear(dz, t.has_readout ? 1 : 0, t.l_out, chunk);    // the readout writes those of l = 0
    if (t.has_readout)
      over<Space, P>("mlff/mace/readout", chunk, t.readout.width * sizeof(T),
                     Readout<P>{t.readout, z.constant(), dz, energy.data() + first});
  }

  void clear(const FeatureRows<T> &rows, int l_min, int l_max, int atoms)
  {
    for (int l = l_min; l <= l_max; ++l) {
      T *values = rows.of(l, 0);
      Kokkos::parallel_for(
          "mlff/mace/clear", Each(0, std::int64_t(atoms) * (2 * l + 1) * rows.channels),
          KOKKOS_LAMBDA(const std::int64_t c) { values[c] = 0; });
    }
  }

  /// Features of the layer before, added.
  void skip(const DeviceGraph<Space> &graph, int k, int first, int end)
  {
    const Layer &t = layers_[k];
    const FeatureRows<T> z = features(graph, k);
    if (k == 0 && t.start) {
      const T *start = t.start;
      const int C = t.C;
      const auto types = graph.types;
      T *out = z.of(0, 0);
      Kokkos::parallel_for(
          "mlff/mace/start", Each(std::int64_t(first) * C, std::int64_t(end) * C),
          KOKKOS_LAMBDA(const std::int64_t c) { out[c] += start[std::int64_t(types(c / C)) * C + c % C]; });
    }
    if (k == 0 || t.n_skips == 0) return;
    const FeatureRows<T> x = features(graph, k - 1);
    each_run(graph, true, first, end, [&](int type, int begin, int stop) {
      multiply<ByRow<const T>, ByRow<T>>("mlff/mace/update", t.n_skips - 1, [&](int l) {
        return straight(stop - begin, l, t.skip[l], type, true, by_row(x.from(begin).constant(), l), by_row(z.from(begin), l), true);
      });
    });
  }

  /// What the neighbours of the next layer start from.
  void send(const DeviceGraph<Space> &graph, int k)
  {
    const Layer &next = layers_[k + 1];
    using Multiply = MultiplyRows<P, ByRow<const T>, ByGroup<T>>;
    multiply<ByRow<const T>, ByGroup<T>>("mlff/mace/send", next.l_in, [&](int l) {
      const LinearTable<T> &map = next.up[l];
      return typename Multiply::Product{graph.n_owned * (2 * l + 1), map.out, map.in, by_row(features(graph, k).constant(), l), map.matrix,
                                        sent_rows(next, buffers_[k + 1].sent.data(), l), false};
    });
  }
  template <typename X> static ByGroup<X> sent_rows(const Layer &t, X *rows, int l)
  {
    return {rows + std::size_t(l) * l * t.D, 2 * l + 1, std::size_t(t.D), std::size_t(t.sent_width())};
  }

  /// dE/d features of the layer before: of its readout, through the skip connection, and of what was sent.
  void receive(const DeviceGraph<Space> &graph, int k)
  {
    const Layer &t = layers_[k];
    const FeatureRows<T> d = dfeatures(graph, k - 1), from = dfeatures(graph, k);
    each_run(graph, true, 0, graph.n_owned, [&](int type, int begin, int stop) {
      multiply<ByRow<const T>, ByRow<T>>("mlff/mace/update, backward", t.n_skips - 1, [&](int l) {
        return straight(stop - begin, l, t.skip[l], type, false, by_row(from.from(begin).constant(), l), by_row(d.from(begin), l), true);
      });
    });
    using Multiply = MultiplyRows<P, ByGroup<const T>, ByRow<T>>;
    multiply<ByGroup<const T>, ByRow<T>>("mlff/mace/send, backward", t.l_in, [&](int l) {
      const LinearTable<T> &map = t.up[l];
      return typename Multiply::Product{graph.n_owned * (2 * l + 1), map.in, map.out, sent_rows<const T>(t, buffers_[k].dsent.data(), l),
                                        map.transposed, by_row(d, l), true};
    });
  }

  /// From dE/d features to dE/d vec, and to dE/d what was sent.
  void backward(const DeviceGraph<Space> &graph, int k, int first, int end, const Array<Space, double> &grad)
  {
    const Layer &t = layers_[k];
    const int chunk = end - first;
    const FeatureRows<T> x = kept(graph, k, first, end), dy{product_.data(), t.C, std::size_t(chunk)}, dx{dlinear_.data(), t.C, std::size_t(chunk)};
    multiply<ByRow<const T>, ByRow<T>>("mlff/mace/update, backward", t.l_out, [&](int l) {
      return straight(chunk, l, t.post[l], 0, false, by_row(dfeatures(graph, k).from(first).constant(), l), by_row(dy, l), false);
    });
    const int registers = t.C / P::width;
    each_run(graph, t.product_types > 1, first, end, [&](int type, int begin, int stop) {
      over<Space, P>("mlff/mace/product, backward", (stop - begin + product_atoms - 1) / product_atoms * registers, 0,
                     ProductBackward<P>{t.product, type, stop - begin, registers, x.from(begin - first).constant(),
                                        dy.from(begin - first).constant(), dx.from(begin - first)});
    });
    if (t.has_density)
      over<Space, P>("mlff/mace/density, backward", chunk, 0,
                     DensityGradient<P>{t.l_mid, x.constant(), dx, buffers_[k].density.data() + first, buffers_[k].ddensity.data() + first});
    each_run(graph, t.linear[0].types > 1, first, end, [&](int type, int begin, int stop) {
      multiply<ByRow<const T>, ByRow<T>>("mlff/mace/linear, backward", t.l_mid, [&](int l) {
        const ByRow<const T> to = message_rows(t, l, chunk, begin - first);
        return straight(stop - begin, l, t.linear[l], type, false, by_row(dx.from(begin - first).constant(), l), {const_cast<T *>(to.first), to.stride}, false);
      });
    });
    scatter(graph, k, first, end, grad);
  }

  void scatter(const DeviceGraph<Space> &graph, int k, int first, int end, const Array<Space, double> &grad)
  {
    const Layer &t = layers_[k];
    const int chunk = end - first, width = t.sent_width();
    const std::size_t memory = EdgeBatch<P>::bytes(t);
    const T *ddensity = buffers_[k].ddensity.data();
    if (k == 0)
      return over<Space, P>("mlff/mace/messages of the first layer, backward", chunk, memory,
                            ScatterGradients<P, true>{{t, rows(graph), first, chunk, sources(k, true)}, messages_.data(), ddensity, grad.data()});
    over<Space, P>("mlff/mace/messages, backward", chunk, memory,
                   ScatterGradients<P, false>{{t, rows(graph), first, chunk, sources(k, true)}, messages_.data(), ddensity, grad.data()});
    over<Space, P>("mlff/mace/sums of gradients", graph.n_nodes, 0,
                   GatherGradients<P>{graph.in_first.data(), graph.in.data(), graph.edge_of.data(), slots_.data(), graph.first.data(), first, end,
                                      width, first > 0, buffers_[k].dsent.data()});
  }

  /// Rows go through an exchange in float64: there, and back.
  Array<Space, double> wide(const Array<Space, double> &rows, std::int64_t) { return rows; }
  Array<Space, double> wide(const Array<Space, float> &rows, std::int64_t n)
  {
    make_room<Space>(wide_, n, "exchanged");
    const auto wide = wide_;
    Kokkos::parallel_for("mlff/mace/exchange", Each(0, n), KOKKOS_LAMBDA(const std::int64_t c) { wide(c) = rows(c); });
    return wide;
  }
  void narrow(const Array<Space, double> &, const Array<Space, double> &, std::int64_t) {}
  void narrow(const Array<Space, double> &wide, const Array<Space, float> &rows, std::int64_t n)
  {
    Kokkos::parallel_for("mlff/mace/exchange", Each(0, n), KOKKOS_LAMBDA(const std::int64_t c) { rows(c) = float(wide(c)); });
  }
  template <typename Act> void exchanged(const DeviceGraph<Space> &graph, const Layer &t, const Array<Space, T> &rows, Act &&act)
  {
    const std::int64_t n = std::int64_t(graph.n_nodes) * t.sent_width();
    const Array<Space, double> both = wide(rows, n);
    act(both, t.sent_width());
    narrow(both, rows, n);
  }

  const int chunk_;
  const MaceZbl zbl_;
  Array<Space, std::byte> block_;
  std::vector<Layer> layers_;
  Array<Space, double> energy_, number_, radius_, wide_;    // [types] each but the last
  std::vector<Buffers> buffers_;
  Array<Space, T> messages_, product_, dlinear_, kept_, slots_;    // of a chunk; messages_ holds dE/d messages when these are needed
};

template <class Space, typename T>
std::unique_ptr<DeviceModel<Space>> make(const MaceWeights &weights, const Options &options, const std::vector<char> &present)
{
  int widest = weights.channels;
  for (const auto &layer : weights.layers) widest = std::max(widest, layer.channels);
  if (widest <= 16) return std::make_unique<DeviceMace<Space, T, 16>>(weights, options, present);
  return std::make_unique<DeviceMace<Space, T, 32>>(weights, options, present);
}

}    // namespace

template <class Space>
std::unique_ptr<DeviceModel<Space>> open_device_mace(const std::string &payload, const Artifact &artifact, const Options &options, const std::vector<char> &present)
{
  const MaceWeights weights = MaceWeights::read(payload, artifact);
  if (options.knots == 0) throw Error("the kernels of a device take radial functions from splines: leave out 'knots 0', or use 'kernels tiles'");
  const std::vector<char> all = present.empty() ? std::vector<char>(weights.types, 1) : present;
  return options.single ? make<Space, float>(weights, options, all) : make<Space, double>(weights, options, all);
}

#define METALFF_INSTANTIATE(Space) \
  template std::unique_ptr<DeviceModel<Space>> open_device_mace<Space>(const std::string &, const Artifact &, const Options &, const std::vector<char> &);
METALFF_INSTANTIATE(Kokkos::DefaultExecutionSpace)
#if defined(KOKKOS_ENABLE_CUDA) || defined(KOKKOS_ENABLE_HIP)
METALFF_INSTANTIATE(Kokkos::DefaultHostExecutionSpace)
#endif

}    // namespace metalff
