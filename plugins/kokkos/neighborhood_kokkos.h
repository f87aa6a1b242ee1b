// LAMMPS neighbour list on a device → graph on the device.
#pragma once

#include "arrays_kokkos.h"
#include "kokkos_type.h"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace LAMMPS_NS {

using metalff::Array;
using metalff::make_room;

template <class Space, typename X> double bytes_of(const Array<Space, X> &array) { return double(array.extent(0)) * sizeof(X); }

/// An integer for every number, in their order and with a place for NaN.
KOKKOS_INLINE_FUNCTION std::int64_t ordered(double number)
{
  const auto bits = Kokkos::bit_cast<std::int64_t>(number);
  return bits < 0 ? std::int64_t(0x8000000000000000) - bits : bits;
}

/// The lanes that share a row: of a warp on a GPU, none on a host.
template <class Space> struct RowPolicy {
  using Execution = typename Space::execution_space;
  using Policy = Kokkos::TeamPolicy<Execution>;
  using Member = typename Policy::member_type;
  static constexpr bool on_host = Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename Space::memory_space>::accessible;
  static constexpr int width = on_host ? 1 : 32, team = on_host ? 1 : 4;

  /// Teams of `team` rows each.
  static Policy over(int rows) { return Policy((rows + team - 1) / team, team, width); }
  KOKKOS_INLINE_FUNCTION static int row(const Member &member) { return member.league_rank() * team + member.team_rank(); }
};

/// The graph of this rank's atoms, and which LAMMPS atom each of its nodes is. Rows of candidates are made with the neighbour list and
/// sorted, so that sums do not depend on the order in which a device found the neighbours.
template <class Space> class NeighborhoodKokkos {
 public:
  using Execution = typename Space::execution_space;
  using Range = Kokkos::RangePolicy<Execution>;
  using Ints = Array<Space, int>;

  /// \param elements  of every member [ntypes + 1]: index into its model's elements by LAMMPS type; -1: not seen
  /// \param r_max     Å; \param length  1 Å in LAMMPS' units
  NeighborhoodKokkos(const std::vector<std::vector<int>> &elements, double r_max, double length) :
      n_types_(int(elements[0].size()) - 1), r_max_(r_max), length_(length), members_(elements.size())
  {
    // types of one element are one group, in every member
    std::vector<int> group(n_types_ + 1, -1);
    for (int t = 1; t <= n_types_; ++t) {
      if (elements[0][t] < 0) continue;
      for (int g = 0; g < int(groups_.size()); ++g)
        if (elements[0][groups_[g]] == elements[0][t]) group[t] = g;
      if (group[t] < 0) group[t] = int(groups_.size()), groups_.push_back(t);
    }
    group_of_ = on_device(group);
    for (std::size_t m = 0; m < elements.size(); ++m) {
      members_[m].element = elements[m];
      members_[m].element_of = on_device(elements[m]);
    }
    begins_ = Ints("mlff:begins", n_types_ + 1);
  }

  static Ints on_device(const std::vector<int> &numbers)
  {
    const Kokkos::View<const int *, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> host(numbers.data(), numbers.size());
    const Ints device("mlff:by type", numbers.size());
    Kokkos::deep_copy(device, host);
    return device;
  }

  /// New rows. `owner` empty: ghosts that end an edge are nodes; else edges end on owner[ghost].
  /// Returns false when there are more candidates than a graph can have.
  template <class Neighbors, class Counts, class X, class Type>
  bool rebuild(const Neighbors &neighbors, const Counts &numneigh, const X &x, const Type &type, int n_local, int n_all, const Ints &owner)
  {
    order(type, n_local, n_all);
    if (!fill(neighbors, numneigh, type, n_local, n_all, owner)) return false;
    sort(x, type);
    metalff::list_places<Space>(end_node_, int(graph.n_candidates), graph.n_nodes, graph.in_first, graph.in, temporary_, graph.count);
    for (auto &member : members_) {
      const auto element_of = member.element_of;
      const auto nodes = atom_of;
      make_room<Space>(member.types, graph.n_nodes, "types");
      const auto types = member.types;
      Kokkos::parallel_for("mlff/types", Range(0, graph.n_nodes), KOKKOS_LAMBDA(const int i) { types(i) = element_of(type(nodes(i))); });
    }
    return true;
  }

  /// The edges of a step: candidates within the cutoff, in their order.
  template <class X> void update(const X &x)
  {
    using Rows = RowPolicy<Space>;
    const int n_nodes = graph.n_nodes, n_owned = graph.n_owned;
    const double limit = r_max_ * r_max_, scale = 1.0 / length_;
    const auto first = graph.first, count = graph.count, neighbor = graph.neighbor, edge_of = graph.edge_of, nodes = atom_of, ends = end_atom_,
               end_nodes = end_node_;
    const auto vec = graph.vec;
    Kokkos::parallel_for(
        "mlff/edges", Rows::over(n_nodes), KOKKOS_LAMBDA(const typename Rows::Member &member) {
          const int i = Rows::row(member);
          if (i >= n_nodes) return;
          const int begin = first(i), length = i < n_owned ? first(i + 1) - begin : 0, a = nodes(i);
          const double xi = x(a, 0), yi = x(a, 1), zi = x(a, 2);
          if (length == 0) Kokkos::single(Kokkos::PerThread(member), [&] { count(i) = 0; });
          Kokkos::parallel_scan(Kokkos::ThreadVectorRange(member, length), [&](const int k, int &place, const bool final) {
            const int c = begin + k, j = ends(c);
            const double dx = (x(j, 0) - xi) * scale, dy = (x(j, 1) - yi) * scale, dz = (x(j, 2) - zi) * scale;
            const bool within = !(dx * dx + dy * dy + dz * dz >= limit);    // a NaN position makes an edge, and so a NaN energy
            if (final) {
              const int edge = begin + place;
              edge_of(c) = within ? edge : -1;
              if (within) {
                neighbor(edge) = end_nodes(c);
                vec(3 * std::int64_t(edge)) = dx, vec(3 * std::int64_t(edge) + 1) = dy, vec(3 * std::int64_t(edge) + 2) = dz;
              }
              if (k == length - 1) count(i) = place + within;
            }
            place += within;
          });
        });
  }

  /// The graph as a member sees it: types count the elements of its model.
  metalff::DeviceGraph<Space> graph_of(std::size_t m) const
  {
    metalff::DeviceGraph<Space> seen = graph;
    seen.types = members_[m].types;
    seen.runs.clear();
    for (const auto &run : graph.runs) seen.runs.push_back({members_[m].element[run.type], run.begin, run.end});
    return seen;
  }

  double bytes() const
  {
    double sum = bytes_of<Space>(graph.vec);
    for (const Ints *ints : {&atom_of, &node_of, &begins_, &end_atom_, &end_node_, &centre_, &temporary_, &graph.first, &graph.count,
                             &graph.neighbor, &graph.edge_of, &graph.in_first, &graph.in})
      sum += bytes_of<Space>(*ints);
    for (const auto &member : members_) sum += bytes_of<Space>(member.types);
    return sum;
  }

  metalff::DeviceGraph<Space> graph;    ///< without types; the types of its runs are those of LAMMPS
  Ints atom_of;                         ///< [graph.n_nodes] local or ghost index of the node's atom
  Ints node_of;                         ///< [nlocal + nghost] -1: no node

  // what follows is for nvcc, whose lambdas may not stand in private functions

  /// Owned nodes: the local atoms that the models see, by group of types, and in LAMMPS' order within one.
  template <class Type> void order(const Type &type, int n_local, int n_all)
  {
    make_room<Space>(node_of, n_all, "node of");
    make_room<Space>(atom_of, n_all, "atom of");
    const auto nodes = node_of, atoms = atom_of, begins = begins_, group_of = group_of_;
    const int n_groups = int(groups_.size());
    Kokkos::parallel_for("mlff/no nodes", Range(0, n_all), KOKKOS_LAMBDA(const int i) { nodes(i) = -1; });
    int n_owned = 0;
    if (n_local > 0 && n_groups > 0)
      Kokkos::parallel_scan(
          "mlff/order", Kokkos::RangePolicy<Execution, Kokkos::IndexType<std::int64_t>>(0, std::int64_t(n_groups) * n_local),
          KOKKOS_LAMBDA(const std::int64_t k, int &node, const bool final) {
            const int g = int(k / n_local), i = int(k % n_local);
            if (final && i == 0) begins(g) = node;
            if (group_of(type(i)) != g) return;
            if (final) nodes(i) = node, atoms(node) = i;
            ++node;
          },
          n_owned);
    graph.n_owned = n_owned;
    graph.runs.clear();
    if (n_owned == 0) return;
    const auto begin = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), begins_);
    for (int g = 0; g < n_groups; ++g) {
      const int end = g + 1 < n_groups ? begin(g + 1) : n_owned;
      if (end > begin(g)) graph.runs.push_back({groups_[g], begin(g), end});
    }
  }

  /// Ghosts that are nodes, and all candidates in the order of the list.
  template <class Neighbors, class Counts, class Type>
  bool fill(const Neighbors &neighbors, const Counts &numneigh, const Type &type, int n_local, int n_all, const Ints &owner)
  {
    const int n_owned = graph.n_owned;
    const bool folds = owner.data() != nullptr;
    const auto nodes = node_of, atoms = atom_of, group_of = group_of_;
    make_room<Space>(graph.first, n_all + 1, "first");
    const auto first = graph.first;
    Kokkos::parallel_for("mlff/no candidates", Range(0, n_all + 1), KOKKOS_LAMBDA(const int i) { first(i) = 0; });
    int longest = 0;
    Kokkos::parallel_reduce(
        "mlff/candidates", Range(0, n_owned),
        KOKKOS_LAMBDA(const int node, int &most) {
          const int i = atoms(node);
          int seen = 0;
          for (int k = 0; k < numneigh(i); ++k) {
            const int j = neighbors(i, k) & NEIGHMASK;
            if (group_of(type(j)) < 0) continue;
            ++seen;
            if (!folds && j >= n_local) Kokkos::atomic_store(&nodes(j), 0);    // a node, its number to come
          }
          first(node) = seen;
          if (seen > most) most = seen;
        },
        Kokkos::Max<int>(longest));
    int ghosts = 0;
    Kokkos::parallel_scan(
        "mlff/ghosts", Range(n_local, n_all),
        KOKKOS_LAMBDA(const int j, int &before, const bool final) {
          if (nodes(j) < 0) return;
          if (final) nodes(j) = n_owned + before, atoms(n_owned + before) = j;
          ++before;
        },
        ghosts);
    graph.n_nodes = n_owned + ghosts;
    graph.longest = longest > 0 ? longest : 0;    // the largest of none is the least integer
    graph.n_candidates = metalff::scan<Space>(graph.first, graph.n_nodes);
    if (graph.n_candidates > std::numeric_limits<int>::max() / 2) return false;
    const std::int64_t n = graph.n_candidates;
    for (auto [ints, label] : {std::pair(&end_atom_, "end atom"), std::pair(&end_node_, "end node"), std::pair(&centre_, "centre"),
                               std::pair(&temporary_, "temporary"), std::pair(&graph.neighbor, "neighbor"), std::pair(&graph.edge_of, "edge of"),
                               std::pair(&graph.in, "in")})
      make_room<Space>(*ints, n, label);
    make_room<Space>(graph.vec, 3 * n, "vec");
    make_room<Space>(graph.count, graph.n_nodes, "count");
    make_room<Space>(graph.in_first, graph.n_nodes + 1, "in first");
    const auto found = temporary_, centre = centre_;
    Kokkos::parallel_for(
        "mlff/fill", Range(0, n_owned), KOKKOS_LAMBDA(const int node) {
          const int i = atoms(node);
          int c = first(node);
          for (int k = 0; k < numneigh(i); ++k) {
            const int j = neighbors(i, k) & NEIGHMASK;
            if (group_of(type(j)) < 0) continue;
            centre(c) = node;
            found(c++) = j;
          }
        });
    owner_ = owner;
    return true;
  }

  /// Each candidate goes where as many of its row come before it: by group of types, owned node, and place. Ghosts that are nodes go by their place
  /// alone, for LAMMPS numbers them in any order.
  template <class X, class Type> void sort(const X &x, const Type &type)
  {
    const auto found = temporary_, centre = centre_, first = graph.first, ends = end_atom_, end_nodes = end_node_, nodes = node_of, owner = owner_,
               keys = graph.neighbor, group_of = group_of_;
    const bool folds = owner.data() != nullptr;
    const int n_owned = graph.n_owned;
    const auto n = Kokkos::RangePolicy<Execution>(0, graph.n_candidates);
    Kokkos::parallel_for("mlff/keys", n, KOKKOS_LAMBDA(const int c) {
      const int node = nodes(folds ? owner(found(c)) : found(c));
      keys(c) = node < n_owned ? node : n_owned;
    });
    Kokkos::parallel_for(
        "mlff/sort", n, KOKKOS_LAMBDA(const int c) {
          const int a = found(c), key = keys(c), t = group_of(type(a)), begin = first(centre(c)), end = first(centre(c) + 1);
          const std::int64_t at[3] = {ordered(x(a, 0)), ordered(x(a, 1)), ordered(x(a, 2))};
          int place = begin;
          for (int d = begin; d < end; ++d) {
            if (d == c) continue;
            bool before = keys(d) < key;
            if (keys(d) == key) {
              const int b = found(d);
              before = d < c;
              for (int axis = 0; axis < 3; ++axis)    // the last that differs is the one that decides: z, y, x
                if (const std::int64_t other = ordered(x(b, axis)); other != at[axis]) before = other < at[axis];
            }
            if (!folds) {    // owned nodes are sorted by group, ghosts are not
              const int other = group_of(type(found(d)));
              if (other != t) before = other < t;
            }
            place += before;
          }
          ends(place) = a;
          end_nodes(place) = nodes(folds ? owner(a) : a);
        });
  }

 private:
  struct Member {
    std::vector<int> element;
    Ints element_of, types;
  };
  const int n_types_;
  const double r_max_, length_;
  std::vector<int> groups_;              // the first type of each
  std::vector<Member> members_;
  Ints group_of_;                        // [ntypes + 1] by type; -1: not seen
  Ints begins_;                          // [groups] first owned node of a group
  Ints end_atom_, end_node_, centre_;    // [n_candidates] sorted, sorted, unsorted
  Ints temporary_, owner_;
};

}    // namespace LAMMPS_NS
