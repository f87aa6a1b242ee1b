// Rows of atoms between MPI ranks, through LAMMPS' own communication, on the device where that can.
#pragma once

#include "atom.h"
#include "comm.h"
#include "kokkos_type.h"
#include "neighborhood_kokkos.h"
#include "pair.h"
#include "platform.h"
#include "pointers.h"

namespace LAMMPS_NS {

/// The features of message-passing models. Rows of nodes travel as rows of atoms: a ghost may come by way of another rank's ghost that is no
/// node. `pair` forwards its pack and unpack calls here.
template <class Space> class ExchangeKokkos : public metalff::DeviceExchange<Space>, protected Pointers {
 public:
  using Rows = Array<Space, double>;
  using Range = Kokkos::RangePolicy<typename Space::execution_space>;
  using Each = Kokkos::RangePolicy<typename Space::execution_space, Kokkos::IndexType<std::int64_t>>;

  ExchangeKokkos(LAMMPS *lmp, Pair *pair) : Pointers(lmp), pair_(pair) {}

  /// The nodes of the next evaluation.
  void set_nodes(const NeighborhoodKokkos<Space> &neighborhood)
  {
    atom_of_ = neighborhood.atom_of;
    n_owned_ = neighborhood.graph.n_owned;
    n_nodes_ = neighborhood.graph.n_nodes;
  }

  void forward(const Rows &features, int width) override
  {
    const double start = platform::walltime();
    const int n_owned = n_owned_;
    const auto rows = rows_of_atoms(width);
    const auto atoms = atom_of_;
    Kokkos::parallel_for("mlff/unseen", Each(0, std::int64_t(atom->nlocal) * width), KOKKOS_LAMBDA(const std::int64_t k) { rows(k) = 0.0; });
    Kokkos::parallel_for(
        "mlff/sent", Each(0, std::int64_t(n_owned) * width),
        KOKKOS_LAMBDA(const std::int64_t k) { rows(std::int64_t(atoms(k / width)) * width + k % width) = features(k); });
    forward_rows(rows, width);
    Kokkos::parallel_for(
        "mlff/received", Each(std::int64_t(n_owned) * width, std::int64_t(n_nodes_) * width),
        KOKKOS_LAMBDA(const std::int64_t k) { features(k) = rows(std::int64_t(atoms(k / width)) * width + k % width); });
    seconds += platform::walltime() - start;
  }

  void reverse(const Rows &gradients, int width) override
  {
    const double start = platform::walltime();
    const int n_owned = n_owned_;
    const auto rows = rows_of_atoms(width);
    const auto atoms = atom_of_;
    Kokkos::parallel_for("mlff/unseen", Each(0, std::int64_t(atom->nlocal + atom->nghost) * width),
                         KOKKOS_LAMBDA(const std::int64_t k) { rows(k) = 0.0; });
    Kokkos::parallel_for(
        "mlff/sent back", Each(0, std::int64_t(n_nodes_) * width),
        KOKKOS_LAMBDA(const std::int64_t k) { rows(std::int64_t(atoms(k / width)) * width + k % width) = gradients(k); });
    reverse_rows(rows, width);
    Kokkos::parallel_for(
        "mlff/received back", Each(0, std::int64_t(n_owned) * width),
        KOKKOS_LAMBDA(const std::int64_t k) { gradients(k) = rows(std::int64_t(atoms(k / width)) * width + k % width); });
    seconds += platform::walltime() - start;
  }

  /// Rows of ghosts become those of their owners; rows [(nlocal + nghost) * width].
  void forward_rows(const Rows &rows, int width)
  {
    begin(rows, width);
    comm->forward_comm(pair_, width);
    end();
  }
  /// Rows of ghosts are added to those of their owners.
  void reverse_rows(const Rows &rows, int width)
  {
    begin(rows, width);
    comm->reverse_comm(pair_, width);
    end();
  }

  template <class List, class Buffer> int pack_forward(int n, const List &list, const Buffer &buffer) const
  {
    const auto rows = active_;
    const int width = width_;
    Kokkos::parallel_for("mlff/pack", Each(0, std::int64_t(n) * width), KOKKOS_LAMBDA(const std::int64_t k) {
      buffer(k) = rows(std::int64_t(list(k / width)) * width + k % width);
    });
    return n * width;
  }
  template <class Buffer> void unpack_forward(int n, int first, const Buffer &buffer) const
  {
    const auto rows = active_;
    const std::int64_t begin = std::int64_t(first) * width_;
    Kokkos::parallel_for("mlff/unpack", Each(0, std::int64_t(n) * width_), KOKKOS_LAMBDA(const std::int64_t k) { rows(begin + k) = buffer(k); });
  }
  template <class Buffer> int pack_reverse(int n, int first, const Buffer &buffer) const
  {
    const auto rows = active_;
    const std::int64_t begin = std::int64_t(first) * width_;
    Kokkos::parallel_for("mlff/pack back", Each(0, std::int64_t(n) * width_), KOKKOS_LAMBDA(const std::int64_t k) { buffer(k) = rows(begin + k); });
    return n * width_;
  }
  /// An atom is in a list once, so that no two add to the same row.
  template <class List, class Buffer> void unpack_reverse(int n, const List &list, const Buffer &buffer) const
  {
    const auto rows = active_;
    const int width = width_;
    Kokkos::parallel_for("mlff/unpack back", Each(0, std::int64_t(n) * width), KOKKOS_LAMBDA(const std::int64_t k) {
      rows(std::int64_t(list(k / width)) * width + k % width) += buffer(k);
    });
  }

  /// The rows for a communication that only the host can do: they come back to the device at its end.
  double *host_rows()
  {
    if (!host_.data()) host_ = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), active_);
    return host_.data();
  }
  int width() const { return width_; }

  double seconds = 0.0;    ///< spent here, waiting included; the owner resets it
  double bytes() const { return bytes_of<Space>(rows_); }

 private:
  Rows rows_of_atoms(int width)
  {
    make_room<Space>(rows_, std::int64_t(atom->nlocal + atom->nghost) * width, "rows of atoms");
    return rows_;
  }
  void begin(const Rows &rows, int width)
  {
    active_ = rows;
    width_ = width;
    host_ = {};
  }
  void end()
  {
    if (host_.data() && host_.data() != active_.data()) Kokkos::deep_copy(active_, host_);
    active_ = {};
    host_ = {};
  }

  Pair *const pair_;
  Array<Space, int> atom_of_;
  int n_owned_ = 0, n_nodes_ = 0, width_ = 0;
  Rows rows_, active_;
  Kokkos::View<double *, Kokkos::LayoutRight, Kokkos::HostSpace> host_;
};

}    // namespace LAMMPS_NS
