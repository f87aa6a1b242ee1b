// What a model evaluates on a device, and what evaluates it. Host code; all views lie in memory of Space.
#pragma once

#include "engine/model.h"

#include <Kokkos_Core.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace metalff {

/// One-dimensional array of a device.
template <class Space, typename X> using Array = Kokkos::View<X *, Kokkos::LayoutRight, typename Space::memory_space>;

/// Nodes and edges of a rank. Rows of candidates are made anew with the neighbour list; the edges of a step, those within the cutoff, are
/// the first count[i] entries of row i, in the order of the candidates, so that a step makes no row longer and asks the host nothing.
/// Owned nodes come first and are sorted by element, in runs; edges to one element stand together in a row.
template <class Space> struct DeviceGraph {
  struct Run {
    int type, begin, end;    // owned nodes of one element
  };
  int n_nodes = 0, n_owned = 0;
  std::int64_t n_candidates = 0;    ///< places for edges, below 2^31
  int longest = 0;                  ///< candidates of the longest row
  std::vector<Run> runs;
  Array<Space, int> types;          ///< [n_nodes] index into the model's elements
  Array<Space, int> first;          ///< [n_nodes + 1] rows; those of nodes from n_owned on are empty
  Array<Space, int> count;          ///< [n_nodes] edges of this step
  Array<Space, int> neighbor;       ///< [n_candidates] of an edge: node
  Array<Space, double> vec;         ///< [n_candidates * 3] of an edge: r_neighbor - r_centre, Å
  Array<Space, int> edge_of;        ///< [n_candidates] of a candidate: its edge, or -1
  Array<Space, int> in_first, in;   ///< [n_nodes + 1], [n_candidates] candidates that end on a node, by centre and place in its row
};

/// What makes the nodes of several ranks one graph; as Exchange of the host.
template <class Space> class DeviceExchange {
 public:
  /// Rows of ghosts become those of their owners; features [n_nodes * width].
  virtual void forward(const Array<Space, double> &features, int width) = 0;
  /// Rows of ghosts are added to those of their owners; gradients [n_nodes * width].
  virtual void reverse(const Array<Space, double> &gradients, int width) = 0;

 protected:
  ~DeviceExchange() = default;
};

template <class Space> class DeviceModel {
 public:
  virtual ~DeviceModel() = default;

  /// Width of the widest features that evaluate() exchanges; 0: none.
  virtual int feature_width() const { return 0; }

  /// Bytes that evaluate() of such a graph takes beyond what is in use, at least (with the smallest chunks).
  virtual double bytes(const DeviceGraph<Space> &graph) const = 0;

  /// Enqueues the evaluation of E = Σ_{i < n_owned} E_i; nothing is copied to the host or from it.
  /// \param energy [n_owned] E_i in eV
  /// \param grad   [n_candidates * 3] at edges: dE/d vec in eV/Å
  /// \param exchange null: all edges end on owned nodes, or the model is strictly local
  virtual void evaluate(const DeviceGraph<Space> &graph, const Array<Space, double> &energy, const Array<Space, double> &grad,
                        DeviceExchange<Space> *exchange) = 0;
};

/// The model of an opened artefact on a device: of families with native kernels. Throws Error.
/// \param options device and threads are not looked at; `chunk`: owned nodes at a time, 0: by the memory that is free
/// \param present of every element of the model: the run has it; empty: all
template <class Space>
std::unique_ptr<DeviceModel<Space>> open_device_model(const Artifact &artifact, const Options &options, const std::vector<char> &present = {});

}    // namespace metalff
