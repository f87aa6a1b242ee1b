// Arrays of a device: room, copies, and which places end where.
#pragma once

#include "model_kokkos.h"

#include <string>
#include <utility>

namespace metalff {

inline std::int64_t with_headroom(std::int64_t n) { return n + n / 10 + 1; }

/// Makes an array hold n elements with 10 % head-room; what it held is lost when it grows.
template <class Space, typename X> void make_room(Array<Space, X> &array, std::int64_t n, const char *label)
{
  if (std::int64_t(array.extent(0)) >= n && array.data()) return;
  array = {};    // gives memory back before it takes more
  array = Array<Space, X>(Kokkos::view_alloc(Kokkos::WithoutInitializing, std::string("mlff:") + label), with_headroom(n));
}

/// Bytes that make_room() will take.
template <class Space, typename X> double missing_bytes(const Array<Space, X> &array, std::int64_t n)
{
  const std::int64_t have = array.extent(0);
  return have >= n && array.data() ? 0.0 : double(with_headroom(n) - have) * sizeof(X);
}

template <typename X> using HostRows = Kokkos::View<X *, Kokkos::LayoutRight, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;

/// `n` numbers to the device, from place `at` on.
template <class Space, typename X> void copy_in(const Array<Space, X> &array, const X *host, std::int64_t n, std::int64_t at = 0)
{
  if (n > 0) Kokkos::deep_copy(Kokkos::subview(array, std::make_pair(at, at + n)), HostRows<const X>(host, n));
}
/// The first `n` numbers to the host.
template <class Space, typename X> void copy_out(X *host, const Array<Space, X> &array, std::int64_t n)
{
  if (n > 0) Kokkos::deep_copy(HostRows<X>(host, n), Kokkos::subview(array, std::make_pair(std::int64_t(0), n)));
}

/// [0, x_0, x_0 + x_1, …] in place: n entries and the sum of all, which is returned.
template <class Space> std::int64_t scan(const Array<Space, int> &array, int n)
{
  std::int64_t sum = 0;
  Kokkos::parallel_scan(
      "mlff/scan", Kokkos::RangePolicy<typename Space::execution_space>(0, n + 1),
      KOKKOS_LAMBDA(const int i, std::int64_t &before, const bool final) {
        const int mine = i < n ? array(i) : 0;
        if (final) array(i) = int(before);
        before += mine;
      },
      sum);
  return sum;
}

/// Lists, for each of n_nodes, the places k < n with ends(k) = node, in order: in[first[node]] … in[first[node + 1] - 1].
/// \param unsorted [n], \param cursor [n_nodes] are overwritten
template <class Space>
void list_places(const Array<Space, int> &ends, int n, int n_nodes, const Array<Space, int> &first, const Array<Space, int> &in,
                 const Array<Space, int> &unsorted, const Array<Space, int> &cursor)
{
  using Range = Kokkos::RangePolicy<typename Space::execution_space>;
  Kokkos::parallel_for("mlff/none in", Range(0, n_nodes + 1), KOKKOS_LAMBDA(const int i) { first(i) = 0; });
  Kokkos::parallel_for("mlff/count in", Range(0, n), KOKKOS_LAMBDA(const int k) { Kokkos::atomic_inc(&first(ends(k))); });
  scan<Space>(first, n_nodes);
  Kokkos::parallel_for("mlff/cursors", Range(0, n_nodes), KOKKOS_LAMBDA(const int i) { cursor(i) = first(i); });
  Kokkos::parallel_for(
      "mlff/fill in", Range(0, n), KOKKOS_LAMBDA(const int k) { unsorted(Kokkos::atomic_fetch_add(&cursor(ends(k)), 1)) = k; });
  Kokkos::parallel_for(
      "mlff/sort in", Range(0, n), KOKKOS_LAMBDA(const int p) {    // the order of the atomic operations is forgotten
        const int k = unsorted(p), begin = first(ends(k)), end = first(ends(k) + 1);
        int place = begin;
        for (int q = begin; q < end; ++q) place += unsorted(q) < k;
        in(place) = k;
      });
}

}    // namespace metalff
