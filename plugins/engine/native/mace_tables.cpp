#include "mace_tables.h"

#include "mace_layer.h"

#include <cstring>

namespace metalff {
namespace {

/// Puts arrays into the block, and says where as if it began at nought.
class Block {
 public:
  explicit Block(std::vector<std::byte> &bytes) : bytes_(bytes) { bytes_.resize(64); }    // nothing is at nought: that is null

  template <typename X> const X *put(const X *values, std::size_t n)
  {
    const std::size_t at = (bytes_.size() + 63) / 64 * 64;
    bytes_.resize(at + n * sizeof(X));
    if (n) std::memcpy(&bytes_[at], values, n * sizeof(X));
    return reinterpret_cast<const X *>(at);
  }
  template <typename Vector> auto put(const Vector &values) { return put(values.data(), values.size()); }

 private:
  std::vector<std::byte> &bytes_;
};

template <typename T> LinearTable<T> linear_table(Block &block, const std::vector<Linear<T>> &maps)
{
  LinearTable<T> table;
  std::vector<T> matrix, transposed;
  for (const Linear<T> &map : maps) {
    matrix.insert(matrix.end(), map.matrix.begin(), map.matrix.end());
    transposed.insert(transposed.end(), map.transposed.begin(), map.transposed.end());
    table.in = map.in, table.out = map.out;
  }
  table.types = int(maps.size());
  table.matrix = block.put(matrix), table.transposed = block.put(transposed);
  return table;
}

template <typename T>
MaceLayerTable<T> layer_table(const MaceWeights &w, int k, int W, int knots, const std::vector<char> &present, Block &block)
{
  const MaceLayer &layer = w.layers[k];
  const bool first = k == 0;
  const int C = (w.channels + W - 1) / W * W, D = (layer.channels + W - 1) / W * W, channels = w.channels;
  MaceLayerTable<T> t{};
  t.C = C, t.D = D, t.l_in = layer.l_in, t.l_mid = layer.l_mid, t.l_out = layer.l_out;
  t.types = w.types, t.product_types = layer.product_types, t.n_paths = int(layer.paths.size());
  t.has_density = !layer.density.empty(), t.has_readout = !layer.readout.empty(), t.n_skips = int(layer.skip.size());

  std::vector<PathPlan> plans;
  std::vector<Coupling<T>> couplings;
  std::vector<int> ends(layer.l_mid + 1, 0);
  const int entries = plan_paths(layer, D, plans, couplings, ends);
  const HarmonicNorms<T, mace_l_most> norms;
  t.paths = block.put(plans);
  t.couplings = {w.l_max, entries, int(couplings.size()), block.put(couplings), block.put(&norms, 1)};

  for (int l = 0; l <= layer.l_mid; ++l) {
    t.message_start[l + 1] = t.message_start[l] + std::size_t(2 * l + 1) * ends[l] * D;
    std::vector<Linear<T>> maps;
    const int rows = ends[l] * layer.channels;
    for (int type = 0; type < layer.linear_types; ++type)
      maps.emplace_back(&layer.linear[l][std::size_t(type) * rows * channels], rows, channels, ends[l], W);
    t.linear[l] = linear_table(block, maps);
  }
  for (int l = 0; l <= layer.l_in && !first; ++l)
    t.up[l] = linear_table<T>(block, {Linear<T>(layer.up[l].data(), channels, layer.channels, 1, W)});
  std::vector<T> start;
  for (int l = 0; l < t.n_skips; ++l) {
    std::vector<Linear<T>> maps;
    for (int type = 0; type < w.types; ++type)
      maps.emplace_back(&layer.skip[l][std::size_t(type) * channels * channels], channels, channels, 1, W);
    t.skip[l] = linear_table(block, maps);
    if (!first || l > 0) continue;
    start.assign(std::size_t(w.types) * C, T(0));
    for (int type = 0; type < w.types; ++type)
      for (int c = 0; c < channels; ++c) {
        double sum = 0.0;
        for (int b = 0; b < channels; ++b)
          sum += w.embedding[type * channels + b] * layer.skip[0][(std::size_t(type) * channels + b) * channels + c];
        start[std::size_t(type) * C + c] = T(sum);
      }
  }
  if (!start.empty()) t.start = block.put(start);
  t.product.l_mid = layer.l_mid, t.product.l_out = layer.l_out;
  for (int l = 0; l <= layer.l_out; ++l) {
    const Polynomial<T> polynomial(layer.product[l], layer.product_types, channels, W);
    PolynomialTable<T> view = polynomial.view();
    view.singles = block.put(view.singles, view.n_singles), view.pairs = block.put(view.pairs, polynomial.pairs());
    view.last = block.put(view.last, view.terms), view.weights = block.put(view.weights, polynomial.size());
    t.product.of[l] = view;
    t.post[l] = linear_table<T>(block, {Linear<T>(layer.product[l].post.data(), channels, channels, 1, W)});
  }
  if (t.has_readout) {
    const Linear<T> map(layer.readout.data(), channels, layer.hidden, 1, W);
    t.readout = {C, map.out, layer.hidden, block.put(map.matrix), block.put(map.transposed), nullptr};
    if (!layer.readout2.empty()) {
      std::vector<T> second(map.out, T(0));
      for (int h = 0; h < layer.hidden; ++h) second[h] = T(layer.readout2[h]);
      t.readout.second = block.put(second);
    }
  }

  RadialFunctions<T> radial(w, k, knots, Splines::HERMITE, W);
  t.columns = radial.columns(), t.knots = radial.knots(), t.spacing = radial.spacing(), t.r_max = w.r_max;
  std::vector<int> pair(std::size_t(w.types) * w.types, -1), of_slot(radial.slots(), -1);
  std::vector<T> rows;
  int made = 0;
  for (int a = 0; a < w.types; ++a)
    for (int b = 0; b < w.types; ++b) {
      if (!present[a] || !present[b]) continue;
      int &of = of_slot[radial.slot(a, b)];
      if (of < 0) {
        radial.prepare(a, b);
        const auto &table = radial.table(radial.slot(a, b));
        rows.insert(rows.end(), table.begin(), table.end());
        of = made++;
      }
      pair[std::size_t(a) * w.types + b] = of;
    }
  t.radial = block.put(rows), t.pair = block.put(pair);
  return t;
}

}    // namespace

template <typename T> MaceTables<T> mace_tables(const MaceWeights &weights, int lanes, int knots, const std::vector<char> &present)
{
  MaceTables<T> tables;
  Block block(tables.block);
  for (std::size_t k = 0; k < weights.layers.size(); ++k)
    tables.layers.push_back(layer_table<T>(weights, int(k), lanes, knots < 0 ? default_knots<T> : knots, present, block));
  return tables;
}

template MaceTables<double> mace_tables<double>(const MaceWeights &, int, int, const std::vector<char> &);
template MaceTables<float> mace_tables<float>(const MaceWeights &, int, int, const std::vector<char> &);

}    // namespace metalff
