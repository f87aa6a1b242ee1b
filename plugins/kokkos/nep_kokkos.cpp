#include "nep_kokkos.h"

#include "engine/error.h"
#include "engine/native/nep_arrays.h"
#include "engine/native/nep_fused.h"
#include "launch_kokkos.h"

namespace metalff {
namespace {

/// One kernel, an atom at a time.
template <class Space, typename T, int l_most, int G> class DeviceNep final : public DeviceModel<Space> {
  using P = LanesOn<Space, T>;
  using Kernel = NepFused<P, l_most, G>;

 public:
  explicit DeviceNep(const NepWeights &weights)
  {
    const NepArrays<T> arrays(weights, P::width, G, Kernel::row);
    t_ = arrays.tables(copy(numbers_, arrays.numbers), copy(cutoffs_, arrays.cutoffs), copy(terms_, arrays.terms), copy(zbl_, arrays.zbl));
    // on a host it is memory like any other
    const std::size_t most = Kokkos::TeamPolicy<typename Space::execution_space>::scratch_size_max(0);
    if (P::width > 1 && Kernel::bytes(t_) + 1024 > most)
      throw Error("this NEP has more functions and neurons than the fast memory of the device holds: use the native engine on the cpu");
  }

  double bytes(const DeviceGraph<Space> &) const override { return 0.0; }

  void evaluate(const DeviceGraph<Space> &graph, const Array<Space, double> &energy, const Array<Space, double> &grad,
                DeviceExchange<Space> *) override
  {
    const NepRows rows{graph.types.data(), graph.first.data(), graph.count.data(), graph.neighbor.data(),
                       graph.vec.data(),   energy.data(),      grad.data()};
    over<Space, P>("mlff/nep", graph.n_owned, Kernel::bytes(t_), Kernel{t_, HarmonicNorms<T, l_most>(), rows}, 4);
  }

 private:
  template <typename X> static const X *copy(Array<Space, X> &to, const std::vector<X> &from)
  {
    to = Array<Space, X>(Kokkos::view_alloc("mlff:nep", Kokkos::WithoutInitializing), from.size());
    Kokkos::deep_copy(to, Kokkos::View<const X *, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>(from.data(), from.size()));
    return to.data();
  }

  NepTables<T> t_;
  Array<Space, T> numbers_;
  Array<Space, double> cutoffs_;
  Array<Space, InvariantTerm<T>> terms_;
  Array<Space, ZblPair> zbl_;
};

/// Kernels of few radial functions, of some more, and of all harmonics.
template <class Space, typename T> std::unique_ptr<DeviceModel<Space>> make(const NepWeights &weights)
{
  const int n = weights.n_angular;
  if (weights.l_max > 4) return std::make_unique<DeviceNep<Space, T, 8, 7>>(weights);
  if ((n + 4) / 5 * 5 < (n + 6) / 7 * 7) return std::make_unique<DeviceNep<Space, T, 4, 5>>(weights);
  return std::make_unique<DeviceNep<Space, T, 4, 7>>(weights);
}

}    // namespace

template <class Space> std::unique_ptr<DeviceModel<Space>> open_device_nep(const std::string &payload, const Artifact &artifact, const Options &options)
{
  const NepWeights weights = NepWeights::read(payload, artifact);
  return options.single ? make<Space, float>(weights) : make<Space, double>(weights);
}

#define METALFF_INSTANTIATE(Space) template std::unique_ptr<DeviceModel<Space>> open_device_nep<Space>(const std::string &, const Artifact &, const Options &);
METALFF_INSTANTIATE(Kokkos::DefaultExecutionSpace)
#if defined(KOKKOS_ENABLE_CUDA) || defined(KOKKOS_ENABLE_HIP)
METALFF_INSTANTIATE(Kokkos::DefaultHostExecutionSpace)
#endif

}    // namespace metalff
