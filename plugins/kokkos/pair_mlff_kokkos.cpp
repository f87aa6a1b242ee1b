#include "pair_mlff_kokkos.h"

#include "atom_kokkos.h"
#include "atom_masks.h"
#include "comm.h"
#include "device_memory_kokkos.h"
#include "engine/error.h"
#include "error.h"
#include "force.h"
#include "kokkos.h"
#include "lammps/trial.h"
#include "memory_kokkos.h"
#include "neigh_list_kokkos.h"
#include "neigh_request.h"
#include "neighbor.h"
#include "platform.h"
#include "sums_kokkos.h"
#include "update.h"

#include <algorithm>
#include <cmath>

using namespace LAMMPS_NS;
using metalff::DeviceModel;

namespace LAMMPS_NS {

template <class Space> struct OnDevice {
  using Doubles = Array<Space, double>;
  using Host = Kokkos::View<double *, Kokkos::HostSpace>;
  static constexpr int n_strays = sizeof(Strays) / sizeof(double), n_spread = sizeof(Spread) / sizeof(double);

  OnDevice(LAMMPS *lmp, Pair *pair) : exchange(lmp, pair) {}

  ExchangeKokkos<Space> exchange;
  std::unique_ptr<NeighborhoodKokkos<Space>> neighborhood;
  std::vector<std::unique_ptr<DeviceModel<Space>>> models;    // of the members
  std::vector<metalff::DeviceGraph<Space>> graphs;            // as the members see them
  Array<Space, int> owner;                                    // [nlocal + nghost] one rank: index of the owned atom
  Doubles owner_rows;
  Doubles energy, grad, other_energy, other_grad;             // of what drives, and of another member
  std::vector<std::pair<std::size_t, Limits<Space>>> limits;  // members that drive and know what they were trained on

  // what the host learns of a step: w (6), the energy, strays of each of `limits`
  Doubles sums;
  Host host_sums;

  // of an ensemble: forces of the members on all atoms, spread, and the members' energies
  Doubles forces, per_atom, disagreement;
  Host host_disagreement;
  std::int64_t stride = 0;    // of a member in forces

  void begin_step()
  {
    const int n = 7 + int(limits.size()) * n_strays;
    if (int(sums.extent(0)) != n) {
      sums = Doubles("mlff:sums", n);
      host_sums = Host("mlff:sums", n);
    }
    fill<Space>(sums, n, 0.0);
  }
  Strays *strays(std::size_t k) const { return reinterpret_cast<Strays *>(sums.data() + 7 + k * n_strays); }
  Strays host_strays(std::size_t k) const { return *reinterpret_cast<const Strays *>(host_sums.data() + 7 + k * n_strays); }
  Extrapolation::Measure measured(std::size_t k) const
  {
    if (neighborhood->graph.n_owned == 0) return {std::numeric_limits<double>::infinity()};
    const Strays s = host_strays(k);
    return {std::sqrt(s.shortest_squared), int(s.most), int(s.fewest), int(s.stranger)};
  }

  void begin_deviation(int members, int n_all)
  {
    make_room<Space>(forces, std::int64_t(3) * members * n_all, "forces of members");
    make_room<Space>(per_atom, n_all, "deviation");
    if (!disagreement.data()) {
      disagreement = Doubles("mlff:disagreement", n_spread + members);
      host_disagreement = Host("mlff:disagreement", n_spread + members);
    }
    stride = std::int64_t(3) * n_all;
    fill<Space>(forces, stride * members, 0.0);
    fill<Space>(per_atom, n_all, 0.0);
    fill<Space>(disagreement, disagreement.extent(0), 0.0);
  }
  Doubles forces_of(std::size_t m) const { return Kokkos::subview(forces, std::make_pair(std::int64_t(m) * stride, std::int64_t(m + 1) * stride)); }

  double bytes() const
  {
    double sum = exchange.bytes() + bytes_of<Space>(owner) + (neighborhood ? neighborhood->bytes() : 0.0);
    for (const Doubles *array : {&owner_rows, &energy, &grad, &other_energy, &other_grad, &forces, &per_atom}) sum += bytes_of<Space>(*array);
    return sum;
  }
};

}    // namespace LAMMPS_NS

template <class DeviceType> PairMLFFKokkos<DeviceType>::PairMLFFKokkos(LAMMPS *lmp) : PairMLFF(lmp)
{
  kokkosable = 1;
  atomKK = static_cast<AtomKokkos *>(atom);
  datamask_read = X_MASK | F_MASK | TYPE_MASK;
  datamask_modify = F_MASK;
  choose_kernels();
}

template <class DeviceType> PairMLFFKokkos<DeviceType>::~PairMLFFKokkos()
{
  free_per_atom();
}

/// eatom, vatom and cvatom belong to KOKKOS with kernels of a device, else to LAMMPS.
template <class DeviceType> void PairMLFFKokkos<DeviceType>::free_per_atom()
{
  if (per_atom_on_device_) {
    memoryKK->destroy_kokkos(k_eatom_, eatom);
    memoryKK->destroy_kokkos(k_vatom_, vatom);
    memoryKK->destroy_kokkos(k_cvatom_, cvatom);
    k_eatom_ = {}, k_vatom_ = {}, k_cvatom_ = {};
  } else {
    memory->destroy(eatom);
    memory->destroy(vatom);
    memory->destroy(cvatom);
  }
  maxeatom = maxvatom = maxcvatom = 0;
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::settings(int narg, char **arg)
{
  PairMLFF::settings(narg, arg);
  choose_kernels();
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::read_restart_settings(FILE *file)
{
  PairMLFF::read_restart_settings(file);
  choose_kernels();
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::choose_kernels()
{
  using Kernels = Settings::Kernels;
  const Kernels wanted = settings_.kernels;
  if (wanted == Kernels::DEVICE && !has_device)
    error->all(FLERR, "'kernels device' is for the variant of pair_style mlff that runs on the GPU: use mlff/kk instead of mlff/kk/host");
  if (wanted == Kernels::TILES && !on_host)
    error->all(FLERR, "'kernels tiles' of pair_style mlff/kk run on the processor: use mlff/kk/host, or leave the keyword out");
  device_ = wanted == Kernels::DEVICE || (wanted == Kernels::AUTO && !on_host);
  if (device_ && settings_.wide_ghosts)
    error->all(FLERR, "'ghosts wide' of pair_style mlff is not for the kernels of a device: use 'ghosts exchange'");
  if (!device_ && !settings_.threads_given) settings_.options.threads = DeviceType().concurrency();
  free_per_atom();
  per_atom_on_device_ = device_;
  // the tiles are of LAMMPS' own arrays on the host; Device also makes comm call the functions for devices where both are one
  execution_space = device_ ? Device : Host;
  reverse_comm_device = device_;
  on_device_.reset();
  if constexpr (has_device)
    if (device_) on_device_ = std::make_unique<OnDevice<DeviceType>>(lmp, this);
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::coeff(int narg, char **arg)
{
  if (on_device_) on_device_->models.clear();
  PairMLFF::coeff(narg, arg);
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::make_model(Member &member)
{
  if (!device_) return PairMLFF::make_model(member);
  if constexpr (has_device) {
    const metalff::Artifact &artifact = member.artifact;
    if (settings_.options.engine == metalff::Options::Engine::TORCH)
      throw metalff::Error("the kernels of a device are those of the native engine: leave out 'engine torch', or use 'kernels tiles' on a processor");
    std::vector<char> present;
    for (const std::string &element : artifact.elements)
      present.push_back(std::count(coefficients_.names.begin(), coefficients_.names.end(), element) > 0);
    const std::size_t m = &member - members_.data();
    on_device_->models.resize(members_.size());
    on_device_->models[m] = metalff::open_device_model<DeviceType>(artifact, settings_.options, present);
    member.engine = std::string("native, Kokkos ") + DeviceType::name();
    member.feature_width = on_device_->models[m]->feature_width();
    on_device_->neighborhood.reset();    // made anew of all members
  }
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::init_style()
{
  if (!force->newton_pair && comm->nprocs > 1)
    error->all(FLERR, "pair_style mlff/kk needs forces on ghost atoms on several ranks: use '-pk kokkos newton on neigh half'");
  PairMLFF::init_style();
  auto request = neighbor->find_request(this);
  request->set_kokkos_host(std::is_same_v<DeviceType, LMPHostType> && !std::is_same_v<DeviceType, LMPDeviceType>);
  request->set_kokkos_device(std::is_same_v<DeviceType, LMPDeviceType>);
  if constexpr (has_device) {
    if (!device_ || on_device_->neighborhood) return;
    OnDevice<DeviceType> &d = *on_device_;
    std::vector<std::vector<int>> elements;
    d.limits.clear();
    for (std::size_t m = 0; m < members_.size(); ++m) {
      elements.push_back(members_[m].element);
      const Extrapolation *guard = members_[m].extrapolation.get();
      if (!guard || !guard->measures()) continue;
      Limits<DeviceType> limits{guard->r_max(), guard->shortest(), guard->most(), guard->fewest(), int(guard->unseen().size()), {}};
      const int n = limits.n;
      limits.unseen = Array<DeviceType, int>("mlff:unseen", n * n);
      Kokkos::View<int *, Kokkos::HostSpace> unseen("mlff:unseen", n * n);
      for (int k = 0; k < n * n; ++k) unseen(k) = guard->unseen()[k / n][k % n];
      Kokkos::deep_copy(limits.unseen, unseen);
      d.limits.emplace_back(m, limits);
    }
    d.neighborhood = std::make_unique<NeighborhoodKokkos<DeviceType>>(elements, r_max_, units_.length);
  }
}

/// KOKKOS' list on the host.
template <class DeviceType> NeighborRows PairMLFFKokkos<DeviceType>::rows() const
{
  if constexpr (on_host) {
    const auto *neighbors = static_cast<const NeighListKokkos<DeviceType> *>(list);
    const auto &block = neighbors->d_neighbors;
    return {neighbors->d_numneigh.data(), nullptr, block.data(), std::ptrdiff_t(block.stride(0)), std::ptrdiff_t(block.stride(1))};
  } else {
    return PairMLFF::rows();    // never asked for
  }
}

/// Several threads number ghosts and fill LAMMPS' bins in any order, and so the rows: sorted by place, they are the same in every run.
template <class DeviceType> void PairMLFFKokkos<DeviceType>::sort_rows()
{
  if constexpr (on_host) {
    if (DeviceType().concurrency() == 1) return;
    const NeighborRows list = rows();
    if (list.step != 1) return;
    const auto *neighbors = static_cast<const NeighListKokkos<DeviceType> *>(this->list);
    const int n = neighbors->inum + (ghostneigh ? neighbors->gnum : 0), *ilist = neighbors->d_ilist.data();
    double **x = atom->x;
    Kokkos::parallel_for("mlff/sort rows", Kokkos::RangePolicy<typename DeviceType::execution_space>(0, n), [=](const int k) {
      int *row = const_cast<int *>(list[ilist[k]]);
      std::sort(row, row + list.count[ilist[k]], [=](int a, int b) {
        const double *p = x[a & NEIGHMASK], *q = x[b & NEIGHMASK];
        for (int c = 2; c > 0; --c)
          if (const std::int64_t i = ordered(p[c]), j = ordered(q[c]); i != j) return i < j;
        return ordered(p[0]) < ordered(q[0]);
      });
    });
    DeviceType().fence();
  }
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::compute(int eflag, int vflag)
{
  if constexpr (has_device)
    if (device_) return compute_on_device(eflag, vflag);
  atomKK->sync(Host, datamask_read | (neighbor->exclude ? MASK_MASK : 0));
  if (neighbor->ago == 0) sort_rows();
  PairMLFF::compute(eflag, vflag);
  atomKK->modified(Host, datamask_modify);
}

// --- the device

/// Arrays of what is wanted per atom, zero.
template <class DeviceType> void PairMLFFKokkos<DeviceType>::grow_per_atom()
{
  if (eflag_atom) {
    memoryKK->destroy_kokkos(k_eatom_, eatom);
    memoryKK->create_kokkos(k_eatom_, eatom, maxeatom, "pair:eatom");
  }
  if (vflag_atom) {
    memoryKK->destroy_kokkos(k_vatom_, vatom);
    memoryKK->create_kokkos(k_vatom_, vatom, maxvatom, "pair:vatom");
  }
  if (cvflag_atom) {
    memoryKK->destroy_kokkos(k_cvatom_, cvatom);
    memoryKK->create_kokkos(k_cvatom_, cvatom, maxcvatom, "pair:cvatom");
  }
}

namespace {

/// rows[i] = i.
template <class Space> void number(const Array<Space, double> &rows, int n)
{
  Kokkos::parallel_for("mlff/number", Kokkos::RangePolicy<typename Space::execution_space>(0, n), KOKKOS_LAMBDA(const int i) { rows(i) = i; });
}

template <class Space> void round_down(const Array<Space, double> &rows, const Array<Space, int> &numbers, int n)
{
  Kokkos::parallel_for(
      "mlff/owners", Kokkos::RangePolicy<typename Space::execution_space>(0, n), KOKKOS_LAMBDA(const int i) { numbers(i) = int(rows(i)); });
}

template <class Space, class PerAtom> void add_energies(const PerAtom &eatom, const Array<Space, int> &atom_of, const Array<Space, double> &energy, int n, double scale)
{
  Kokkos::parallel_for(
      "mlff/atomic energies", Kokkos::RangePolicy<typename Space::execution_space>(0, n),
      KOKKOS_LAMBDA(const int i) { eatom(atom_of(i)) += scale * energy(i); });
}

}    // namespace

template <class DeviceType> void PairMLFFKokkos<DeviceType>::compute_on_device(int eflag, int vflag)
{
  if constexpr (has_device) {
    OnDevice<DeviceType> &d = *on_device_;
    NeighborhoodKokkos<DeviceType> &neighborhood = *d.neighborhood;
    ev_init(eflag, vflag, 0);
    grow_per_atom();
    const double start = platform::walltime();
    atomKK->sync(execution_space, datamask_read);
    const auto x = atomKK->k_x.template view<DeviceType>();
    const auto f = atomKK->k_f.template view<DeviceType>();
    const auto type = atomKK->k_type.template view<DeviceType>();
    const int n_local = atom->nlocal, n_all = atom->nlocal + atom->nghost;
    std::string failure;
    auto attempt = [&](auto &&act) {
      try {
        act();
      } catch (const std::exception &e) {
        failure = std::string("pair_style mlff/kk: no memory is left on the device, use fewer atoms, 'precision single' or more GPUs (") + e.what() + ")";
      }
      stop_together(failure);
    };

    trial_ = is_trial(lmp, eflag);
    computed_at_ = update->ntimestep;
    deviated_at_ = -1;
    if (neighbor->ago == 0) {
      Array<DeviceType, int> seen = type;
      if (neighbor->exclude) atomKK->sync(Host, TYPE_MASK | MASK_MASK);
      exclusion_.update();
      if (exclusion_.any()) {
        const Kokkos::View<const int *, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> types(exclusion_.types(), n_all);
        seen = Array<DeviceType, int>("mlff:types", n_all);
        Kokkos::deep_copy(seen, types);
      }
      if (comm->nprocs == 1) {
        attempt([&] {
          make_room<DeviceType>(d.owner, n_all, "owner");
          make_room<DeviceType>(d.owner_rows, n_all, "owners");
        });
        // on one rank every ghost is an image of an owned atom: each atom's own index goes along with it
        number<DeviceType>(d.owner_rows, n_local);
        d.exchange.forward_rows(d.owner_rows, 1);
        round_down<DeviceType>(d.owner_rows, d.owner, n_all);
      }
      const auto *neighbors = static_cast<const NeighListKokkos<DeviceType> *>(list);
      attempt([&] {
        if (!neighborhood.rebuild(neighbors->d_neighbors, neighbors->d_numneigh, x, seen, n_local, n_all,
                                  comm->nprocs == 1 ? d.owner : Array<DeviceType, int>()))
          failure = "pair_style mlff/kk has more than a billion neighbours on one GPU: use fewer atoms or more ranks";
        else {
          d.graphs.clear();
          for (std::size_t m = 0; m < members_.size(); ++m) d.graphs.push_back(neighborhood.graph_of(m));
          const std::int64_t nodes = neighborhood.graph.n_nodes, numbers = 3 * neighborhood.graph.n_candidates;
          make_room<DeviceType>(d.energy, nodes, "energy"), make_room<DeviceType>(d.grad, numbers, "grad");
          if (deviation_) make_room<DeviceType>(d.other_energy, nodes, "other energy"), make_room<DeviceType>(d.other_grad, numbers, "other grad");
        }
      });
      d.exchange.set_nodes(neighborhood);
    }
    neighborhood.update(x);
    d.begin_step();
    const metalff::DeviceGraph<DeviceType> &graph = neighborhood.graph;
    for (std::size_t k = 0; k < d.limits.size(); ++k) measure<DeviceType>(graph, neighborhood.atom_of, type, d.limits[k].second, d.strays(k));
    if (update->setupflag) predict_device_memory();

    d.exchange.seconds = 0.0;
    attempt([&] {
      if (settings_.mean && deviation_) d.begin_deviation(int(members_.size()), n_all);
    });
    evaluate_drivers_on_device();
    sum_of<DeviceType>(d.energy, graph.n_owned, d.sums.data() + 6);
    add_forces<DeviceType>(graph, neighborhood.atom_of, d.grad, units_.force(), f,
                           vflag_global ? reinterpret_cast<Numbers<6> *>(d.sums.data()) : nullptr);
    if (eflag_atom)
      add_energies<DeviceType>(k_eatom_.template view<DeviceType>(), neighborhood.atom_of, d.energy, graph.n_owned, units_.energy);
    if (vflag_atom) add_atomic_virial<DeviceType>(graph, neighborhood.atom_of, d.grad, units_.energy, k_vatom_.template view<DeviceType>());
    if (cvflag_atom) add_centroid_virial<DeviceType>(graph, neighborhood.atom_of, d.grad, units_.energy, k_cvatom_.template view<DeviceType>());
    atomKK->modified(execution_space, datamask_modify);
    auto to_host = [&](auto &per_atom) {
      per_atom.template modify<DeviceType>();
      per_atom.sync_host();
    };
    if (eflag_atom) to_host(k_eatom_);
    if (vflag_atom) to_host(k_vatom_);
    if (cvflag_atom) to_host(k_cvatom_);

    Kokkos::deep_copy(d.host_sums, d.sums);    // all that the host learns of a step; everything before it has only been enqueued
    const double done = platform::walltime();
    seconds_.model += done - start - d.exchange.seconds;
    seconds_.communication += d.exchange.seconds;
    const bool trial_rejected = trial_ && rejects_on_device();
    if (!trial_) check(d.host_sums.data());
    if (eflag_global) eng_vdwl += units_.energy * d.host_sums(6);
    if (vflag_global)
      for (int c = 0; c < 6; ++c) virial[c] -= units_.energy * d.host_sums(c);

    if (trial_) {
      if (!std::isfinite(eng_vdwl) || trial_rejected) reject();
    } else if (deviation_ && update->ntimestep % settings_.every == 0) {
      deviate();
      report_deviation();
    }
  }
}

/// Ends the run when the atoms leave what a model knows, or an energy is none. All ranks take part.
template <class DeviceType> void PairMLFFKokkos<DeviceType>::check(const double *sums)
{
  const OnDevice<DeviceType> &d = *on_device_;
  std::string failure;
  for (std::size_t k = 0; failure.empty() && k < d.limits.size(); ++k) {
    const Strays s = d.host_strays(k);
    failure = members_[d.limits[k].first].extrapolation->check(d.measured(k), [&](Extrapolation::Kind kind) {
      return bigint(kind == Extrapolation::CLOSE ? s.close : kind == Extrapolation::CROWDED ? s.crowded : kind == Extrapolation::SPARSE ? s.sparse : s.strange);
    });
  }
  if (failure.empty() && !std::isfinite(sums[6]))
    failure = fmt::format("pair_style mlff: the energy is not a finite number at step {}: look for overlapping atoms, NaN positions or too long "
                          "a timestep", update->ntimestep);
  stop_together(failure);
}

/// As rejects(), of what the device has measured.
template <class DeviceType> bool PairMLFFKokkos<DeviceType>::rejects_on_device()
{
  bool any = false;
  for (std::size_t k = 0; k < on_device_->limits.size(); ++k)
    if (members_[on_device_->limits[k].first].extrapolation->rejects(on_device_->measured(k))) any = true;
  return any;
}

/// Says what the run will take, and ends it when there is less.
template <class DeviceType> void PairMLFFKokkos<DeviceType>::predict_device_memory()
{
  if constexpr (has_device) {
    OnDevice<DeviceType> &d = *on_device_;
    const double all = atom->nlocal + atom->nghost;
    double need = 0.0;
    for (std::size_t m = 0; m < members_.size(); ++m) need += d.models[m]->bytes(d.graphs[m]);
    if (comm->nprocs > 1) need += std::max(0.0, 1.1 * sizeof(double) * all * comm_forward - d.exchange.bytes());
    if (deviation_) need += std::max(0.0, 1.1 * sizeof(double) * all * (3.0 * members_.size() + 1.0) - bytes_of<DeviceType>(d.forces) - bytes_of<DeviceType>(d.per_atom));
    if constexpr (on_host) {
      stop_together(memory_.check(need));
    } else {
      const double left = metalff::free_bytes<DeviceType>();
      std::string failure;
      if (need > left)
        failure = fmt::format("pair_style mlff/kk needs {:.0f} MB of memory on the GPU, which has {:.0f} MB left: use a smaller 'chunk', 'precision "
                              "single', fewer atoms or more GPUs", need / 1e6, left / 1e6);
      stop_together(failure);
      if (comm->me == 0)
        utils::logmesg(lmp, "pair_style mlff/kk: predicted memory on the GPU {:.0f} MB; {:.0f} MB left\n", need / 1e6 + d.bytes() / 1e6, left / 1e6);
    }
  }
}

/// Enqueues the evaluation of a member, in eV and Å; all ranks take part.
template <class DeviceType>
void PairMLFFKokkos<DeviceType>::evaluate_on_device(std::size_t m, const Array<DeviceType, double> &energy, const Array<DeviceType, double> &grad)
{
  if constexpr (has_device) {
    OnDevice<DeviceType> &d = *on_device_;
    const bool exchange = comm->nprocs > 1 && members_[m].artifact.layers > 1;
    std::string failure;
    if (exchange || d.graphs[m].n_owned > 0) try {
        d.models[m]->evaluate(d.graphs[m], energy, grad, exchange ? &d.exchange : nullptr);
      } catch (const std::exception &e) {
        failure = fmt::format("'{}' could not be evaluated: {}", members_[m].artifact.path, e.what());
        if (exchange) error->one(FLERR, failure);    // the other ranks wait for this one between two layers
      }
    stop_together(failure);
  }
}

/// What drives: the first member, or the mean of all.
template <class DeviceType> void PairMLFFKokkos<DeviceType>::evaluate_drivers_on_device()
{
  if constexpr (has_device) {
    OnDevice<DeviceType> &d = *on_device_;
    evaluate_on_device(0, d.energy, d.grad);
    if (!settings_.mean || !deviation_) return;
    add_to_deviation_on_device(0, d.energy, d.grad);
    const std::size_t last = members_.size() - 1;
    for (std::size_t m = 1; m <= last; ++m) {
      evaluate_on_device(m, d.other_energy, d.other_grad);
      add_to_deviation_on_device(m, d.other_energy, d.other_grad);
      const double scale = m == last ? 1.0 / double(members_.size()) : 1.0;
      add<DeviceType>(d.energy, d.other_energy, d.graphs[m].n_owned, scale);
      add<DeviceType>(d.grad, d.other_grad, 3 * d.graphs[m].n_candidates, scale);
    }
  }
}

template <class DeviceType>
void PairMLFFKokkos<DeviceType>::add_to_deviation_on_device(std::size_t m, const Array<DeviceType, double> &energy, const Array<DeviceType, double> &grad)
{
  if constexpr (has_device) {
    OnDevice<DeviceType> &d = *on_device_;
    sum_of<DeviceType>(energy, d.graphs[m].n_owned, d.disagreement.data() + OnDevice<DeviceType>::n_spread + m);
    add_forces<DeviceType>(d.graphs[m], d.neighborhood->atom_of, grad, units_.force(), Triples<DeviceType>{d.forces_of(m)});
  }
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::deviate()
{
  if constexpr (has_device) {
    if (!device_) return PairMLFF::deviate();
    const double start = platform::walltime();
    OnDevice<DeviceType> &d = *on_device_;
    const int members = int(members_.size()), n_owned = d.neighborhood->graph.n_owned;
    d.exchange.seconds = 0.0;
    if (!settings_.mean) {
      d.begin_deviation(members, atom->nlocal + atom->nghost);
      add_to_deviation_on_device(0, d.energy, d.grad);
      for (int m = 1; m < members; ++m) {
        evaluate_on_device(m, d.other_energy, d.other_grad);
        add_to_deviation_on_device(m, d.other_energy, d.other_grad);
      }
    }
    if (comm->nprocs > 1)    // on one rank no force is on a ghost
      for (int m = 0; m < members; ++m) d.exchange.reverse_rows(d.forces_of(m), 3);
    spread<DeviceType>(d.neighborhood->atom_of, n_owned, d.forces, members, d.stride, d.per_atom, reinterpret_cast<Spread *>(d.disagreement.data()));
    Kokkos::deep_copy(d.host_disagreement, d.disagreement);
    const Spread mine = n_owned > 0 ? *reinterpret_cast<const Spread *>(d.host_disagreement.data()) : Spread{0.0, 0.0, std::numeric_limits<double>::infinity()};
    for (int m = 0; m < members; ++m) deviation_->energy(m) = units_.energy * d.host_disagreement(d.n_spread + m);
    deviation_->share(mine.sum, mine.most, mine.least, n_owned);
    deviated_at_ = update->ntimestep;
    if (comm->me == 0)    // compute pair sums over ranks
      extremes_[0] = deviation_->largest, extremes_[1] = deviation_->smallest, extremes_[2] = deviation_->mean;
    seconds_.model += platform::walltime() - start - d.exchange.seconds;
    seconds_.communication += d.exchange.seconds;
  } else {
    PairMLFF::deviate();
  }
}

template <class DeviceType> void *PairMLFFKokkos<DeviceType>::extract_peratom(const char *name, int &columns)
{
  void *found = PairMLFF::extract_peratom(name, columns);
  if constexpr (has_device) {
    if (!found || !device_ || deviated_at_ != update->ntimestep) return found;
    // fix pair wants it on the host
    const auto part = std::make_pair(0, atom->nlocal);
    Kokkos::View<double *, Kokkos::HostSpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>> host(static_cast<double *>(found), atom->nlocal);
    Kokkos::deep_copy(host, Kokkos::subview(on_device_->per_atom, part));
  }
  return found;
}

template <class DeviceType> double PairMLFFKokkos<DeviceType>::memory_usage()
{
  double bytes = PairMLFF::memory_usage();
  if constexpr (has_device)
    if (device_) bytes += on_device_->bytes();
  return bytes;
}

// --- communication

template <class DeviceType> int PairMLFFKokkos<DeviceType>::pack_forward_comm(int n, int *list, double *buf, int pbc_flag, int *pbc)
{
  if (!device_) return PairMLFF::pack_forward_comm(n, list, buf, pbc_flag, pbc);
  const int width = on_device_->exchange.width();
  const double *rows = on_device_->exchange.host_rows();
  for (int k = 0; k < n; ++k) std::copy_n(rows + std::int64_t(list[k]) * width, width, buf + std::int64_t(k) * width);
  return n * width;
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::unpack_forward_comm(int n, int first, double *buf)
{
  if (!device_) return PairMLFF::unpack_forward_comm(n, first, buf);
  const int width = on_device_->exchange.width();
  std::copy_n(buf, std::int64_t(n) * width, on_device_->exchange.host_rows() + std::int64_t(first) * width);
}

template <class DeviceType> int PairMLFFKokkos<DeviceType>::pack_reverse_comm(int n, int first, double *buf)
{
  if (!device_) return PairMLFF::pack_reverse_comm(n, first, buf);
  const int width = on_device_->exchange.width();
  std::copy_n(on_device_->exchange.host_rows() + std::int64_t(first) * width, std::int64_t(n) * width, buf);
  return n * width;
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::unpack_reverse_comm(int n, int *list, double *buf)
{
  if (!device_) return PairMLFF::unpack_reverse_comm(n, list, buf);
  const int width = on_device_->exchange.width();
  double *rows = on_device_->exchange.host_rows();
  for (int k = 0; k < n; ++k)
    for (int c = 0; c < width; ++c) rows[std::int64_t(list[k]) * width + c] += buf[std::int64_t(k) * width + c];
}

template <class DeviceType>
int PairMLFFKokkos<DeviceType>::pack_forward_comm_kokkos(int n, DAT::tdual_int_1d list, DAT::tdual_double_1d &buf, int /*pbc_flag*/, int * /*pbc*/)
{
  if constexpr (has_device) return on_device_->exchange.pack_forward(n, list.view<DeviceType>(), buf.view<DeviceType>());
  return 0;
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::unpack_forward_comm_kokkos(int n, int first, DAT::tdual_double_1d &buf)
{
  if constexpr (has_device) on_device_->exchange.unpack_forward(n, first, buf.view<DeviceType>());
}

template <class DeviceType> int PairMLFFKokkos<DeviceType>::pack_reverse_comm_kokkos(int n, int first, DAT::tdual_double_1d &buf)
{
  if constexpr (has_device) return on_device_->exchange.pack_reverse(n, first, buf.view<DeviceType>());
  return 0;
}

template <class DeviceType> void PairMLFFKokkos<DeviceType>::unpack_reverse_comm_kokkos(int n, DAT::tdual_int_1d list, DAT::tdual_double_1d &buf)
{
  if constexpr (has_device) on_device_->exchange.unpack_reverse(n, list.view<DeviceType>(), buf.view<DeviceType>());
}

namespace LAMMPS_NS {
template class PairMLFFKokkos<LMPDeviceType>;
#ifdef LMP_KOKKOS_GPU
template class PairMLFFKokkos<LMPHostType>;
#endif
}    // namespace LAMMPS_NS
