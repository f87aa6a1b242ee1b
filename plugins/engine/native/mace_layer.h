// One layer of MACE on a tile of atoms: messages, linear maps, product basis, readout, and all of it backward.
#pragma once

#include "../graph.h"
#include "contraction.h"
#include "laps.h"
#include "mace_kernels.h"
#include "radial.h"

#include <cstring>
#include <memory>

namespace metalff {

constexpr int tile_atoms = 12;    // a multiple of the rows of gemm's block; their features stay in the second-level cache

/// Features of a tile by l: [tile_atoms · (2l + 1), channels], one l after the other.
struct TileShape {
  int channels = 0, l_max = 0;
  std::size_t start(int l) const { return std::size_t(tile_atoms) * l * l * channels; }
  std::size_t size() const { return start(l_max + 1); }
  template <typename X> FeatureRows<X> rows(X *first) const { return {first, channels, tile_atoms}; }
};

/// Tables of edges (convolution.h, of_edge).
template <typename T> struct EdgeTable {
  int entries = 0;
  Buffer<T> data;

  T *block(int b) { return data.data() + std::size_t(b) * entries * width<T>; }
  T *of(int e) { return of_edge<Simd<T>>(data.data(), entries, e); }
};

/// [in, out] → padded [in, out] and its transpose [out, in].
template <typename T> struct Linear {
  int in = 0, out = 0;
  Buffer<T> matrix, transposed;

  Linear() = default;
  /// \param blocks the rows come in so many blocks, each padded by itself
  /// \param W lanes of a register
  Linear(const double *values, int rows, int columns, int blocks = 1, int W = width<T>) :
      in((rows / blocks + W - 1) / W * W * blocks), out((columns + W - 1) / W * W)
  {
    matrix.assign(std::size_t(in) * out, T(0));
    transposed.assign(std::size_t(in) * out, T(0));
    const int each = rows / blocks, wide = in / blocks;
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c) {
        const int at = r / each * wide + r % each;
        matrix[std::size_t(at) * out + c] = transposed[std::size_t(c) * in + at] = T(values[std::size_t(r) * columns + c]);
      }
  }

  void forward(int rows, const T *x, T *y, bool add = false) const { gemm(rows, out, in, x, in, matrix.data(), out, y, out, add); }
  void backward(int rows, const T *dy, T *dx, bool add = false) const
  {
    gemm(rows, in, out, dy, out, transposed.data(), in, dx, in, add);
  }
  /// dmatrix += dE/d matrix.
  void slope(int rows, const T *x, const T *dy, Buffer<T> &dmatrix) const
  {
    gemm<true>(in, out, rows, x, in, dy, out, dmatrix.data(), out, true);
  }
  /// values [rows, columns] += numbers in the arrangement of matrix; as in the constructor.
  void unpack(const Buffer<T> &numbers, double *values, int rows, int columns, int blocks = 1) const
  {
    const int each = rows / blocks, wide = padded<T>(each);
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < columns; ++c)
        values[std::size_t(r) * columns + c] += double(numbers[std::size_t(r / each * wide + r % each) * out + c]);
  }
};

/// Where the paths of a layer find and leave their numbers, and what the angular factors are made of. ends: how many paths end on an l;
/// returns how many angular factors an edge has.
template <typename T>
int plan_paths(const MaceLayer &layer, int D, std::vector<PathPlan> &plans, std::vector<Coupling<T>> &couplings, std::vector<int> &ends)
{
  int entry = 0;
  for (std::size_t p = 0; p < layer.paths.size(); ++p) {
    const auto &path = layer.paths[p];
    plans.push_back({path.l1, path.l3, entry, int(p) * D, ends[path.l3]++ * D});
    const int n1 = 2 * path.l1 + 1, n2 = 2 * path.l2 + 1, n3 = 2 * path.l3 + 1;
    for (int a = 0; a < n1; ++a)
      for (int c = 0; c < n3; ++c)
        for (int b = 0; b < n2; ++b)
          if (const double cg = path.cg[(a * n2 + b) * n3 + c]; std::abs(cg) > 1e-12)
            couplings.push_back({entry + a * n3 + c, path.l2 * path.l2 + b, T(cg)});
    entry += n1 * n3;
  }
  return entry;
}

/// Buffers of one thread.
template <typename T> struct Workspace {
  // edges of the tile within the cutoff
  std::vector<int64_t> edge;                // in the graph
  std::vector<int> first;                   // [atoms + 1]
  Buffer<double> r, x, y, z;
  Buffer<int> knot;                         // of the splines below r, and the place from there to the next
  Buffer<T> t;
  Buffer<T> unit;                           // [edges / width][3][width], from the neighbour to the centre
  Buffer<T> radial;                         // functions and slopes of one edge
  Buffer<T> exact;                          // rows of radial functions, where there are no splines
  std::vector<Edge<T>> edges;
  std::vector<Hermite<T>> weights;
  EdgeTable<T> angular, dangular;
  std::vector<T> dr;
  // features of the tile
  Buffer<T> messages, dmessages, linear, dlinear, product, dproduct, features, dfeatures, skipped, hidden;
  std::vector<T> density, ddensity;
  Laps laps;
};

/// A layer and what its kernels need.
template <typename T> class MaceLayerKernels {
 public:
  using P = Simd<T>;

  MaceLayerKernels(const MaceWeights &weights, int k, int knots, Splines kind = Splines::HERMITE) :
      w_(weights), layer_(weights.layers[k]), first_(k == 0), radial_(weights, k, knots, kind), C(padded<T>(weights.channels)),
      D(padded<T>(layer_.channels)), l_max_(weights.l_max)
  {
    std::vector<int> ends(layer_.l_mid + 1, 0);
    entries_ = plan_paths(layer_, D, plans_, couplings_, ends);
    for (int l = 0; l <= layer_.l_mid; ++l) {
      message_start_.push_back(message_size_);
      message_size_ += std::size_t(tile_atoms) * (2 * l + 1) * ends[l] * D;
      const int rows = ends[l] * layer_.channels;
      for (int t = 0; t < layer_.linear_types; ++t)
        linear_.push_back(Linear<T>(&layer_.linear[l][std::size_t(t) * rows * w_.channels], rows, w_.channels, ends[l]));
    }
    for (int l = 0; l <= layer_.l_in && !first_; ++l) up_.push_back(Linear<T>(layer_.up[l].data(), w_.channels, layer_.channels));
    for (std::size_t l = 0; l < layer_.skip.size(); ++l)
      for (int t = 0; t < w_.types; ++t)
        skip_.push_back(Linear<T>(&layer_.skip[l][std::size_t(t) * w_.channels * w_.channels], w_.channels, w_.channels));
    for (const auto &product : layer_.product) {
      polynomials_.emplace_back(product, layer_.product_types, w_.channels);
      post_.push_back(Linear<T>(product.post.data(), w_.channels, w_.channels));
    }
    if (!layer_.readout.empty()) readout_ = Linear<T>(layer_.readout.data(), w_.channels, layer_.hidden);
    for (const double x : layer_.readout2) readout2_.push_back(T(x));
    count_flops();
    embedding_.assign(std::size_t(w_.types) * C, T(0));
    for (int t = 0; t < w_.types; ++t)
      for (int c = 0; c < w_.channels; ++c) embedding_[t * C + c] = T(w_.embedding[t * w_.channels + c]);
  }

  virtual ~MaceLayerKernels() = default;

  TileShape inputs() const { return {C, layer_.l_in}; }
  TileShape outputs() const { return {C, layer_.l_out}; }
  /// Per node: what neighbours receive, and what a node's own skip connection needs.
  int sent_width() const { return first_ ? 0 : (layer_.l_in + 1) * (layer_.l_in + 1) * D; }
  int own_width() const { return first_ ? 0 : (layer_.l_in + 1) * (layer_.l_in + 1) * C; }
  /// What backward() needs of forward(), per tile.
  std::size_t kept_size() const { return TileShape{C, layer_.l_mid}.size() + (has_density() ? padded<T>(tile_atoms) : 0); }
  bool has_density() const { return !layer_.density.empty(); }

  void prepare(const std::vector<char> &present)
  {
    for (int a = 0; a < w_.types; ++a)
      for (int b = 0; b < w_.types; ++b)
        if (present[a] && present[b]) prepare(a, b);
  }

  /// Edges of the atoms, their radial rows and angular factors.
  void edges(const Graph &graph, const int *atoms, int count, int type, const T *sent, T *dsent, Workspace<T> &s) const
  {
    constexpr int W = width<T>;
    const int n = within_cutoff(graph, atoms, count, s), blocks = (n + W - 1) / W, columns = radial_.columns();
    s.edges.resize(n), s.weights.resize(blocks * W), s.dr.resize(n);
    for (int e = 0; e < n; ++e) {
      const std::size_t node = std::size_t(graph.neighbor[s.edge[e]]) * sent_width();
      s.edges[e] = {nullptr, first_ ? nullptr : sent + node, first_ ? nullptr : dsent + node};
    }
    if (radial_.splines()) {
      const double per = 1.0 / radial_.spacing();
      const bool hermite = radial_.kind == Splines::HERMITE;
      const int least = hermite ? 0 : 2, most = radial_.knots() - 2;
      for (int e = 0; e < blocks * W; ++e) {
        const double at = s.r[e] * per;
        s.knot[e] = std::clamp(int(at), least, most);    // of NaN: any
        s.t[e] = T(at - s.knot[e]);
      }
      for (int b = 0; b < blocks; ++b)
        (hermite ? hermite_weights<P> : bspline_weights<P>)(lanes(s.t.data(), b), T(per), &s.weights[b * W]);
      const std::size_t rows = hermite ? 3 : 1;
      for (int e = 0; e < n; ++e)
        s.edges[e].row = radial_.table(type, graph.types[graph.neighbor[s.edge[e]]]) + (s.knot[e] - least) * rows * columns;
    } else {    // rows of each edge, and behind the last one what its missing rows are
      T *rows = room(s.exact, (std::size_t(n) * 2 + hermite_rows) * columns);
      std::fill_n(rows + std::size_t(n) * 2 * columns, std::size_t(hermite_rows) * columns, T(0));
      for (int e = 0; e < n; ++e) {
        s.edges[e].row = rows + std::size_t(e) * 2 * columns;
        radial_.fill(type, graph.types[graph.neighbor[s.edge[e]]], &s.r[e], 1, rows + std::size_t(e) * 2 * columns);
        s.weights[e] = {{1}, {0, 1}};
      }
    }
    s.angular.entries = s.dangular.entries = entries_;
    room(s.angular.data, std::size_t(blocks) * entries_ * W);
    const T *unit = s.unit.data();
    for (int b = 0; b < blocks; ++b) {
      const Lanes<T> u[3] = {lanes(unit, 3 * b), lanes(unit, 3 * b + 1), lanes(unit, 3 * b + 2)};
      angular_factors<P>(coupling_table(), u, s.angular.block(b));
    }
    s.laps.lap(LayerPart::EDGES, n * (2.0 * couplings_.size() + 4.0 * (l_max_ + 1) * (l_max_ + 1)));
  }

  /// Messages and features of a tile; `own`: features of the atoms themselves [nodes, own_width]. Keeps what backward() needs.
  void forward(const int *atoms, int count, int type, const T *own, Workspace<T> &s, T *kept) const
  {
    const TileShape mid{C, layer_.l_mid}, out = outputs();
    T *messages = room(s.messages, message_size_);
    for (int a = 0; a < count; ++a)
      for (std::size_t p = 0; p < plans_.size(); ++p) {
        const PathPlan &path = plans_[p];
        const std::size_t stride = linear(path.l3, type).in;
        T *out = messages + message_start_[path.l3] + std::size_t(a) * (2 * path.l3 + 1) * stride + path.target;
        each_path(path, [&]<int l1, int l3, bool first>() {
          gather_path<P, l1, l3, first>(path, s.first[a], s.first[a + 1], s.edges.data(), s.weights.data(), s.angular.data.data(), entries_,
                                        radial_.columns(), D, out, stride, false);
        });
      }
    s.laps.lap(LayerPart::MESSAGES, s.first.back() * message_flops_);
    for (int l = 0; l <= layer_.l_mid; ++l)
      linear(l, type).forward(count * (2 * l + 1), messages + message_start_[l], kept + mid.start(l));
    if (has_density()) {
      T *density = kept + mid.size();
      for (int a = 0; a < count; ++a) {
        T sum = 1;
        for (int e = s.first[a]; e < s.first[a + 1]; ++e) sum += density_of(s, e, s.weights[e].value);
        density[a] = sum;
        for (int l = 0; l <= layer_.l_mid; ++l) {
          T *x = kept + mid.start(l) + std::size_t(a) * (2 * l + 1) * C;
          for (int c = 0; c < (2 * l + 1) * C; ++c) x[c] /= sum;
        }
      }
    }

    s.laps.lap(LayerPart::LINEAR, count * linear_flops_);
    T *product = room(s.product, out.size()), *features = room(s.features, out.size());
    const ProductTable<T> table = product_table();
    some_atoms(count, [&]<int n>(int v, int a) {
      product_forward<P, n>(table, product_type(type), mid.rows<const T>(kept), out.rows(product), a, v);
    });
    s.laps.lap(LayerPart::PRODUCT, 2.0 * count * product_flops_);
    for (int l = 0; l <= layer_.l_out; ++l) {
      const int rows = count * (2 * l + 1);
      post_[l].forward(rows, product + out.start(l), features + out.start(l));
      if (l < int(layer_.skip.size())) {
        T *x = room(s.skipped, out.size());
        for (int a = 0; a < count; ++a)
          std::copy_n(first_ ? &embedding_[type * C] : own + std::size_t(atoms[a]) * own_width() + l * l * C, (2 * l + 1) * C,
                      x + std::size_t(a) * (2 * l + 1) * C);
        skip_[std::size_t(l) * w_.types + type].forward(rows, x, features + out.start(l), true);
      }
    }
    s.laps.lap(LayerPart::UPDATE, count * update_flops_);
  }

  /// Energies of the readout into `energy` and dE/d features into `dfeatures`, which it overwrites; nothing without a readout.
  void readout(int count, Workspace<T> &s, double *energy, T *dfeatures) const
  {
    const TileShape out = outputs();
    std::fill_n(dfeatures, out.size(), T(0));
    std::fill_n(energy, count, 0.0);
    if (layer_.readout.empty()) return;
    T *hidden = room(s.hidden, std::size_t(tile_atoms) * readout_.out);
    for (int a = 0; a < count; ++a)
      energy[a] = double(readout_energy<P>(readout_table(), s.features.data() + std::size_t(a) * C, hidden, dfeatures + std::size_t(a) * C));
  }

  /// From dE/d features of the tile to dE/d vectors of its edges (summed), and to those of the neighbours' features (dsent) and of
  /// its own (down: written over `own`).
  void backward(const int *atoms, int count, int type, const T *dfeatures, Workspace<T> &s, const T *kept, T *own,
                double *edge_grad) const
  {
    constexpr int W = width<T>;
    const TileShape mid{C, layer_.l_mid}, out = outputs();
    if (!first_)
      for (int a = 0; a < count; ++a) std::fill_n(own + std::size_t(atoms[a]) * own_width(), own_width(), T(0));
    T *dproduct = room(s.dproduct, out.size());
    for (int l = 0; l <= layer_.l_out; ++l) {
      const int rows = count * (2 * l + 1);
      post_[l].backward(rows, dfeatures + out.start(l), dproduct + out.start(l));
      if (!first_ && l < int(layer_.skip.size())) {
        T *x = room(s.skipped, out.size());
        skip_[std::size_t(l) * w_.types + type].backward(rows, dfeatures + out.start(l), x);
        for (int a = 0; a < count; ++a)
          std::copy_n(x + std::size_t(a) * (2 * l + 1) * C, (2 * l + 1) * C, own + std::size_t(atoms[a]) * own_width() + l * l * C);
      }
    }
    s.laps.lap(LayerPart::UPDATE_BACK, count * update_flops_);
    T *dlinear = room(s.dlinear, mid.size());
    const ProductTable<T> table = product_table();
    some_atoms(count, [&]<int n>(int v, int a) {
      product_backward<P, n>(table, product_type(type), mid.rows<const T>(kept), out.rows<const T>(dproduct), mid.rows(dlinear), a, v);
    });
    s.laps.lap(LayerPart::PRODUCT_BACK, 4.0 * count * product_flops_);
    s.ddensity.assign(count, T(0));
    if (has_density())
      for (int a = 0; a < count; ++a) {
        const T density = kept[mid.size() + a];
        for (int l = 0; l <= layer_.l_mid; ++l) {
          const std::size_t at = mid.start(l) + std::size_t(a) * (2 * l + 1) * C;
          for (int c = 0; c < (2 * l + 1) * C; ++c) {
            dlinear[at + c] /= density;
            s.ddensity[a] -= kept[at + c] * dlinear[at + c];
          }
        }
      }
    T *dmessages = room(s.dmessages, message_size_);
    for (int l = 0; l <= layer_.l_mid; ++l)
      linear(l, type).backward(count * (2 * l + 1), dlinear + mid.start(l), dmessages + message_start_[l]);
    s.laps.lap(LayerPart::LINEAR_BACK, count * linear_flops_);

    const int n = s.first.back(), blocks = (n + W - 1) / W;
    room(s.dangular.data, std::size_t(blocks) * entries_ * W);
    if (blocks) std::fill_n(s.dangular.block(blocks - 1), std::size_t(entries_) * W, T(0));
    for (int a = 0; a < count; ++a)
      for (int e = s.first[a]; e < s.first[a + 1]; ++e) {
        Lanes<T> dr = {};
        T *value = room(s.radial, 2 * std::size_t(radial_.columns())), *slope = value + radial_.columns();
        radial_functions<P>(s.edges[e].row, s.weights[e], radial_.columns(), radial_.columns(), value, slope);
        for (const PathPlan &path : plans_) {
          const std::size_t stride = linear(path.l3, type).in, at = path.angular * W;
          const T *grad = dmessages + message_start_[path.l3] + std::size_t(a) * (2 * path.l3 + 1) * stride + path.target;
          each_path(path, [&]<int l1, int l3, bool first>() {
            scatter_path<P, l1, l3, first>(s.edges[e], value + path.radial, slope + path.radial, s.angular.of(e) + at, D, grad, stride,
                                           s.dangular.of(e) + at, dr);
          });
        }
        s.dr[e] = P::sum(dr);
        if (has_density()) s.dr[e] += s.ddensity[a] * slope[radial_.paths() * D];
      }
    edge_gradients(s, edge_grad);
    s.laps.lap(LayerPart::MESSAGES_BACK, n * scatter_flops_);
  }

  /// Features → what neighbours receive, and back.
  void send(int rows, int l, const T *features, T *sent) const { up_[l].forward(rows, features, sent); }
  void receive(int rows, int l, const T *dsent, T *dfeatures) const { up_[l].backward(rows, dsent, dfeatures, true); }
  double send_flops() const { return 2.0 * (layer_.l_in + 1) * (layer_.l_in + 1) * C * D; }
  int sent_channels() const { return D; }
  int l_in() const { return layer_.l_in; }

 protected:
  /// Makes what edges() needs for a pair of elements.
  virtual void prepare(int centre, int neighbor) { radial_.prepare(centre, neighbor); }

  /// Floating-point operations per edge and per atom, a multiplication and an addition being two; of padded channels.
  void count_flops()
  {
    const int splines = 2 * hermite_rows;
    scatter_flops_ = 2.0 * splines * radial_.columns() + 2.0 * couplings_.size() + 10.0 * (l_max_ + 1) * (l_max_ + 1);
    for (const PathPlan &path : plans_) {
      const int n1 = 2 * path.l1 + 1, n3 = 2 * path.l3 + 1;
      message_flops_ += double(D) * (splines + n1 * (2 * n3 + !first_));
      scatter_flops_ += double(D) * n1 * (4 * n3 + 2 + 4 * !first_);
    }
    for (int l = 0; l <= layer_.l_mid; ++l) linear_flops_ += 2.0 * (2 * l + 1) * linear(l, 0).in * C;
    for (int l = 0; l <= layer_.l_out; ++l) {
      product_flops_ += double(polynomials_[l].terms()) * C;
      update_flops_ += 2.0 * (2 * l + 1) * C * C * (1 + (l < int(layer_.skip.size())));
    }
  }

  /// Edges of the atoms that are shorter than the cutoff, their lengths and unit vectors; filled up to whole registers.
  int within_cutoff(const Graph &graph, const int *atoms, int count, Workspace<T> &s) const
  {
    constexpr int W = width<T>;
    std::size_t most = W;
    for (int a = 0; a < count; ++a) most += graph.first[atoms[a] + 1] - graph.first[atoms[a]];
    for (auto *buffer : {&s.r, &s.x, &s.y, &s.z}) room(*buffer, most);
    if (s.edge.size() < most) s.edge.resize(most);
    room(s.knot, most), room(s.t, most);
    s.first.assign(1, 0);
    int n = 0;
    for (int a = 0; a < count; ++a) {
      for (int64_t e = graph.first[atoms[a]]; e < graph.first[atoms[a] + 1]; ++e) {
        const double *v = &graph.edge_vec[3 * e], r2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        s.edge[n] = e, s.x[n] = v[0], s.y[n] = v[1], s.z[n] = v[2], s.r[n] = r2;
        n += !(r2 >= w_.r_max * w_.r_max);    // NaN goes on
      }
      s.first.push_back(n);
    }
    const int all = (n + W - 1) / W * W;
    for (int e = n; e < all; ++e) s.x[e] = s.r[e] = 1.0, s.y[e] = s.z[e] = 0.0;
    T *unit = room(s.unit, 3 * std::size_t(all));
    for (int e = 0; e < all; ++e) s.r[e] = std::sqrt(s.r[e]);
    for (int b = 0; b < all / W; ++b)
      for (int lane = 0; lane < W; ++lane) {    // from the neighbour to the centre
        const int e = b * W + lane;
        const double per = -1.0 / s.r[e];
        unit[(3 * b) * W + lane] = T(s.x[e] * per);
        unit[(3 * b + 1) * W + lane] = T(s.y[e] * per);
        unit[(3 * b + 2) * W + lane] = T(s.z[e] * per);
      }
    return n;
  }

  const Linear<T> &linear(int l, int type) const { return linear_[l * layer_.linear_types + (layer_.linear_types > 1 ? type : 0)]; }
  int product_type(int type) const { return layer_.product_types > 1 ? type : 0; }

  T density_of(const Workspace<T> &s, int e, const T (&weights)[hermite_rows]) const
  {
    const T *row = s.edges[e].row + radial_.paths() * D;
    T sum = 0;
    for (int k = 0; k < hermite_rows; ++k) sum += weights[k] * row[std::size_t(k) * radial_.columns()];
    return sum;
  }

  /// Calls act<n>(v, first atom) for every register of channels and for atoms, some at a time.
  template <typename Act> void some_atoms(int count, Act &&act) const
  {
    for (int v = 0; v < C / width<T>; ++v) {
      int a = 0;
      for (; a + 4 <= count; a += 4) act.template operator()<4>(v, a);
      for (; a < count; ++a) act.template operator()<1>(v, a);
    }
  }

  /// The same with x[feature][n] of the atoms.
  template <typename Act> void each_register(const T *kept, int count, Act &&act) const
  {
    const FeatureRows<const T> rows = TileShape{C, layer_.l_mid}.template rows<const T>(kept);
    some_atoms(count, [&]<int n>(int v, int a) {
      Lanes<T> x[(mace_l_most + 1) * (mace_l_most + 1)][n];
      for (int l = 0; l <= layer_.l_mid; ++l)
        for (int m = 0; m < 2 * l + 1; ++m)
          for (int b = 0; b < n; ++b) x[l * l + m][b] = lanes(rows.of(l, a + b) + std::size_t(m) * C, v);
      act.template operator()<n>(v, a, x);
    });
  }

  /// Calls act<l1, l3, first>() for the kind of a path.
  template <typename Act> void each_path(const PathPlan &path, Act &&act) const
  {
    if (first_)
      with_path<true>(path.l1, path.l3, [&]<int l1, int l3>() { act.template operator()<l1, l3, true>(); });
    else
      with_path<false>(path.l1, path.l3, [&]<int l1, int l3>() { act.template operator()<l1, l3, false>(); });
  }

  CouplingTable<T> coupling_table() const { return {l_max_, entries_, int(couplings_.size()), couplings_.data(), &norms_}; }
  ProductTable<T> product_table() const
  {
    ProductTable<T> table{layer_.l_mid, layer_.l_out, {}};
    for (int l = 0; l <= layer_.l_out; ++l) table.of[l] = polynomials_[l].view();
    return table;
  }
  ReadoutTable<T> readout_table() const
  {
    return {C, readout_.out, layer_.hidden, readout_.matrix.data(), readout_.transposed.data(), readout2_.empty() ? nullptr : readout2_.data()};
  }

  /// dE/d angular factors and dE/dr → dE/d edge_vec.
  void edge_gradients(Workspace<T> &s, double *edge_grad) const
  {
    constexpr int W = width<T>;
    const int n = s.first.back();
    for (int b = 0; b * W < n; ++b) {
      const Lanes<T> u[3] = {lanes(s.unit.data(), 3 * b), lanes(s.unit.data(), 3 * b + 1), lanes(s.unit.data(), 3 * b + 2)};
      Lanes<T> across[3];
      angular_gradient<P>(coupling_table(), u, s.dangular.block(b), across);
      for (int lane = 0; lane < W && b * W + lane < n; ++lane) {
        const int e = b * W + lane;
        double *out = edge_grad + 3 * s.edge[e];
        for (int c = 0; c < 3; ++c)    // u points from the neighbour to the centre, against the edge
          out[c] -= double(s.dr[e]) * double(u[c][lane]) + double(across[c][lane]) / s.r[e];
      }
    }
  }

  const MaceWeights &w_;
  const MaceLayer &layer_;
  const bool first_;
  RadialFunctions<T> radial_;
  const int C, D, l_max_;
  int entries_ = 0;
  std::vector<PathPlan> plans_;
  const HarmonicNorms<T, mace_l_most> norms_;
  std::vector<Coupling<T>> couplings_;
  std::vector<std::size_t> message_start_;
  std::size_t message_size_ = 0;
  std::vector<Linear<T>> linear_, up_, skip_, post_;    // [l][linear_types], [l], [l][types], [l]
  std::vector<Polynomial<T>> polynomials_;              // [l_out + 1]
  Linear<T> readout_;
  std::vector<T> readout2_;
  Buffer<T> embedding_;                                 // [types, C]
  double message_flops_ = 0.0, scatter_flops_ = 0.0, linear_flops_ = 0.0, product_flops_ = 0.0, update_flops_ = 0.0;
};

}    // namespace metalff
