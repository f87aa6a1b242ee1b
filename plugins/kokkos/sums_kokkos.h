// What a device sums over the edges of a graph: forces, virials, how far the atoms go beyond the training data, how far models disagree.
// Every row is gathered by those who own it, in a fixed order: no atomic operation, the same bits in every run.
#pragma once

#include "neighborhood_kokkos.h"

#include <cstdint>

namespace LAMMPS_NS {

/// N numbers that are added.
template <int N> struct Numbers {
  double at[N] = {};
  KOKKOS_INLINE_FUNCTION Numbers &operator+=(const Numbers &other)
  {
    for (int k = 0; k < N; ++k) at[k] += other.at[k];
    return *this;
  }
};

/// What an atom has around it: the shortest edge, neighbours, the largest stranger.
struct Around {
  double shortest_squared = 1e300, neighbors = 0.0, stranger = 0.0;
  KOKKOS_INLINE_FUNCTION Around &operator+=(const Around &other)
  {
    if (!(other.shortest_squared >= shortest_squared)) shortest_squared = other.shortest_squared;
    neighbors += other.neighbors;
    if (other.stranger > stranger) stranger = other.stranger;
    return *this;
  }
};

/// Atoms that leave the training data, added up as each number asks for.
struct Strays {
  double shortest_squared = 1e300, most = 0.0, fewest = 1e300, stranger = 0.0;    // least; neighbours of an atom; largest
  double close = 0.0, crowded = 0.0, sparse = 0.0, strange = 0.0;                 // atoms
  KOKKOS_INLINE_FUNCTION Strays &operator+=(const Strays &other)
  {
    if (!(other.shortest_squared >= shortest_squared)) shortest_squared = other.shortest_squared;
    if (other.most > most) most = other.most;
    if (other.fewest < fewest) fewest = other.fewest;
    if (other.stranger > stranger) stranger = other.stranger;
    close += other.close, crowded += other.crowded, sparse += other.sparse, strange += other.strange;
    return *this;
  }
};

/// The deviations of atoms.
struct Spread {
  double sum = 0.0, most = 0.0, least = 1e300;
  KOKKOS_INLINE_FUNCTION Spread &operator+=(const Spread &other)
  {
    sum += other.sum;
    if (other.most > most) most = other.most;
    if (other.least < least) least = other.least;
    return *this;
  }
};

}    // namespace LAMMPS_NS

template <int N> struct Kokkos::reduction_identity<LAMMPS_NS::Numbers<N>> {
  KOKKOS_FORCEINLINE_FUNCTION static LAMMPS_NS::Numbers<N> sum() { return {}; }
};
template <> struct Kokkos::reduction_identity<LAMMPS_NS::Around> {
  KOKKOS_FORCEINLINE_FUNCTION static LAMMPS_NS::Around sum() { return {}; }
};
template <> struct Kokkos::reduction_identity<LAMMPS_NS::Strays> {
  KOKKOS_FORCEINLINE_FUNCTION static LAMMPS_NS::Strays sum() { return {}; }
};
template <> struct Kokkos::reduction_identity<LAMMPS_NS::Spread> {
  KOKKOS_FORCEINLINE_FUNCTION static LAMMPS_NS::Spread sum() { return {}; }
};

namespace LAMMPS_NS {

/// Where a sum goes in device memory, so that nothing waits for it.
template <class Space, typename X> auto into(X *place)
{
  return Kokkos::Sum<X, typename Space::memory_space>(
      Kokkos::View<X, typename Space::memory_space, Kokkos::MemoryTraits<Kokkos::Unmanaged>>(place));
}

/// Three numbers per atom in one array.
template <class Space> struct Triples {
  Array<Space, double> at;
  KOKKOS_INLINE_FUNCTION double &operator()(int atom, int c) const { return at(3 * std::int64_t(atom) + c); }
};

/// F_i += scale * (Σ own edges dE/dr - Σ incoming edges dE/dr), and w += r ⊗ dE/dr over own edges (xx yy zz xy xz yz) where it is wanted.
template <class Space, class Force, bool WITH_W> struct ForcesOf {
  using Rows = RowPolicy<Space>;
  using Member = typename Rows::Member;
  int n_nodes;
  double scale;
  Array<Space, int> atom_of, first, count, edge_of, in_first, in;
  Array<Space, double> vec, grad;
  Force force;

  ForcesOf(const metalff::DeviceGraph<Space> &g, const Array<Space, int> &atom_of, const Array<Space, double> &grad, double scale, const Force &force) :
      n_nodes(g.n_nodes), scale(scale), atom_of(atom_of), first(g.first), count(g.count), edge_of(g.edge_of), in_first(g.in_first), in(g.in), vec(g.vec),
      grad(grad), force(force)
  {
  }

  KOKKOS_INLINE_FUNCTION void operator()(const Member &member, Numbers<6> &w) const
  {
    const int i = Rows::row(member);
    if (i >= n_nodes) return;
    Numbers<WITH_W ? 9 : 3> own;
    Numbers<3> incoming;
    const std::int64_t begin = first(i);
    Kokkos::parallel_reduce(
        Kokkos::ThreadVectorRange(member, count(i)),
        [&](const int k, Numbers<WITH_W ? 9 : 3> &sum) {
          const double *g = &grad(3 * (begin + k));
          for (int c = 0; c < 3; ++c) sum.at[c] += g[c];
          if constexpr (WITH_W) {
            const double *r = &vec(3 * (begin + k));
            for (int c = 0; c < 3; ++c) sum.at[3 + c] += r[c] * g[c];
            sum.at[6] += r[0] * g[1], sum.at[7] += r[0] * g[2], sum.at[8] += r[1] * g[2];
          }
        },
        Kokkos::Sum<Numbers<WITH_W ? 9 : 3>>(own));
    const int in_begin = in_first(i);
    Kokkos::parallel_reduce(
        Kokkos::ThreadVectorRange(member, in_first(i + 1) - in_begin),
        [&](const int k, Numbers<3> &sum) {
          const std::int64_t edge = edge_of(in(in_begin + k));
          if (edge < 0) return;
          for (int c = 0; c < 3; ++c) sum.at[c] += grad(3 * edge + c);
        },
        Kokkos::Sum<Numbers<3>>(incoming));
    Kokkos::single(Kokkos::PerThread(member), [&] {
      const int a = atom_of(i);
      for (int c = 0; c < 3; ++c) force(a, c) += scale * (own.at[c] - incoming.at[c]);
      if constexpr (WITH_W)
        for (int c = 0; c < 6; ++c) w.at[c] += own.at[3 + c];
    });
  }
  KOKKOS_INLINE_FUNCTION void operator()(const Member &member) const
  {
    Numbers<6> none;
    (*this)(member, none);
  }
};

/// \param w  null: not wanted; in device memory
template <class Space, class Force>
void add_forces(const metalff::DeviceGraph<Space> &graph, const Array<Space, int> &atom_of, const Array<Space, double> &grad, double scale,
                const Force &force, Numbers<6> *w = nullptr)
{
  if (graph.n_nodes == 0) return;
  const auto rows = RowPolicy<Space>::over(graph.n_nodes);
  if (w)
    Kokkos::parallel_reduce("mlff/forces, virial", rows, ForcesOf<Space, Force, true>(graph, atom_of, grad, scale, force), into<Space>(w));
  else
    Kokkos::parallel_for("mlff/forces", rows, ForcesOf<Space, Force, false>(graph, atom_of, grad, scale, force));
}

/// v_i -= scale / 2 * Σ r ⊗ dE/dr over own and incoming edges (xx yy zz xy xz yz).
template <class Space, class Virial>
void add_atomic_virial(const metalff::DeviceGraph<Space> &g, const Array<Space, int> &atom_of, const Array<Space, double> &grad, double scale,
                       const Virial &virial)
{
  const auto first = g.first, count = g.count, edge_of = g.edge_of, in_first = g.in_first, in = g.in, atoms = atom_of;
  const auto vec = g.vec, gradient = grad;
  Kokkos::parallel_for(
      "mlff/atomic virial", Kokkos::RangePolicy<typename Space::execution_space>(0, g.n_nodes), KOKKOS_LAMBDA(const int i) {
        Numbers<6> w;
        const int own = count(i), incoming = in_first(i + 1) - in_first(i);
        for (int k = 0; k < own + incoming; ++k) {
          const std::int64_t edge = k < own ? first(i) + k : edge_of(in(in_first(i) + k - own));
          if (edge < 0) continue;
          const double *r = &vec(3 * edge), *f = &gradient(3 * edge);
          for (int c = 0; c < 3; ++c) w.at[c] += r[c] * f[c];
          w.at[3] += r[0] * f[1], w.at[4] += r[0] * f[2], w.at[5] += r[1] * f[2];
        }
        for (int c = 0; c < 6; ++c) virial(atoms(i), c) -= 0.5 * scale * w.at[c];
      });
}

/// The centre's energy flows to the neighbour as g·v_neighbour over -r: all of -r ⊗ g is the neighbour's (see PairMLFF::scatter);
/// xx yy zz xy xz yz yx zx zy.
template <class Space, class Virial>
void add_centroid_virial(const metalff::DeviceGraph<Space> &g, const Array<Space, int> &atom_of, const Array<Space, double> &grad, double scale,
                         const Virial &virial)
{
  const auto edge_of = g.edge_of, in_first = g.in_first, in = g.in, atoms = atom_of;
  const auto vec = g.vec, gradient = grad;
  Kokkos::parallel_for(
      "mlff/centroid virial", Kokkos::RangePolicy<typename Space::execution_space>(0, g.n_nodes), KOKKOS_LAMBDA(const int i) {
        Numbers<9> w;
        for (int k = in_first(i); k < in_first(i + 1); ++k) {
          const std::int64_t edge = edge_of(in(k));
          if (edge < 0) continue;
          const double *r = &vec(3 * edge), *f = &gradient(3 * edge);
          for (int c = 0; c < 3; ++c) w.at[c] += r[c] * f[c];
          w.at[3] += r[0] * f[1], w.at[4] += r[0] * f[2], w.at[5] += r[1] * f[2];
          w.at[6] += r[1] * f[0], w.at[7] += r[2] * f[0], w.at[8] += r[2] * f[1];
        }
        for (int c = 0; c < 9; ++c) virial(atoms(i), c) -= scale * w.at[c];
      });
}

/// Limits of a model's training data on a device.
template <class Space> struct Limits {
  double r_max = 0.0, shortest = 0.0;
  int most = 0, fewest = 0, n = 0;    // neighbours; 0: not known
  Array<Space, int> unseen;    // [n * n] by LAMMPS types; n = 0: every pair was seen
};

template <class Space, class Type>
void measure(const metalff::DeviceGraph<Space> &g, const Array<Space, int> &atom_of, const Type &type, const Limits<Space> &limits, Strays *strays)
{
  using Rows = RowPolicy<Space>;
  if (g.n_owned == 0) return;
  const auto first = g.first, count = g.count, neighbor = g.neighbor, atoms = atom_of;
  const auto vec = g.vec;
  const int n_owned = g.n_owned;
  const Limits<Space> l = limits;
  Kokkos::parallel_reduce(
      "mlff/measure", Rows::over(n_owned),
      KOKKOS_LAMBDA(const typename Rows::Member &member, Strays &all) {
        const int i = Rows::row(member);
        if (i >= n_owned) return;
        const std::int64_t begin = first(i);
        const int a = type(atoms(i));
        Around mine;
        Kokkos::parallel_reduce(
            Kokkos::ThreadVectorRange(member, count(i)),
            [&](const int k, Around &row) {
              const double *r = &vec(3 * (begin + k));
              const double squared = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
              Around edge;
              edge.shortest_squared = squared;
              edge.neighbors = squared < l.r_max * l.r_max;
              if (l.n > 0 && edge.neighbors > 0.0) {
                const int b = type(atoms(neighbor(begin + k)));
                if (l.unseen(a * l.n + b)) edge.stranger = (a < b ? a : b) * l.n + (a < b ? b : a);
              }
              row += edge;
            },
            Kokkos::Sum<Around>(mine));
        Kokkos::single(Kokkos::PerThread(member), [&] {
          Strays atom;
          atom.shortest_squared = mine.shortest_squared, atom.most = atom.fewest = mine.neighbors, atom.stranger = mine.stranger;
          atom.close = mine.shortest_squared < l.shortest * l.shortest;
          atom.crowded = l.most > 0 && mine.neighbors > l.most;
          atom.sparse = mine.neighbors < l.fewest;
          atom.strange = mine.stranger > 0.0;
          all += atom;
        });
      },
      into<Space>(strays));
}

/// per_atom[i] = sqrt(mean over members |F_i - mean F_i|²) of owned nodes.
/// \param forces  [members * stride] of one member after the other, 3 numbers per atom
template <class Space>
void spread(const Array<Space, int> &atom_of, int n_owned, const Array<Space, double> &forces, int members, std::int64_t stride,
            const Array<Space, double> &per_atom, Spread *result)
{
  if (n_owned == 0) return;
  const auto atoms = atom_of;
  Kokkos::parallel_reduce(
      "mlff/deviation", Kokkos::RangePolicy<typename Space::execution_space>(0, n_owned),
      KOKKOS_LAMBDA(const int i, Spread &all) {
        const int a = atoms(i);
        double squares = 0.0;
        for (int c = 0; c < 3; ++c) {
          double average = 0.0;
          for (int m = 0; m < members; ++m) average += forces(m * stride + 3 * std::int64_t(a) + c) / members;
          for (int m = 0; m < members; ++m) {
            const double off = forces(m * stride + 3 * std::int64_t(a) + c) - average;
            squares += off * off / members;
          }
        }
        Spread mine;
        mine.sum = mine.most = mine.least = Kokkos::sqrt(squares);
        per_atom(a) = mine.sum;
        all += mine;
      },
      into<Space>(result));
}

template <class Space> void sum_of(const Array<Space, double> &array, int n, double *result)
{
  if (n == 0) return;
  Kokkos::parallel_reduce(
      "mlff/energy", Kokkos::RangePolicy<typename Space::execution_space>(0, n),
      KOKKOS_LAMBDA(const int i, double &sum) { sum += array(i); }, into<Space>(result));
}

template <class Space> void fill(const Array<Space, double> &array, std::int64_t n, double value)
{
  Kokkos::parallel_for(
      "mlff/fill", Kokkos::RangePolicy<typename Space::execution_space, Kokkos::IndexType<std::int64_t>>(0, n),
      KOKKOS_LAMBDA(const std::int64_t k) { array(k) = value; });
}

/// sum = (sum + other) * scale.
template <class Space> void add(const Array<Space, double> &sum, const Array<Space, double> &other, std::int64_t n, double scale)
{
  Kokkos::parallel_for(
      "mlff/mean", Kokkos::RangePolicy<typename Space::execution_space, Kokkos::IndexType<std::int64_t>>(0, n),
      KOKKOS_LAMBDA(const std::int64_t k) { sum(k) = (sum(k) + other(k)) * scale; });
}

}    // namespace LAMMPS_NS
