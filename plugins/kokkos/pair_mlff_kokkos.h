// pair_style mlff/kk: the same models in a LAMMPS with KOKKOS.
#pragma once

#include "exchange_kokkos.h"
#include "kokkos_base.h"
#include "kokkos_type.h"
#include "lammps/pair_mlff.h"
#include "model_kokkos.h"
#include "neighborhood_kokkos.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

/// What a device needs: neighbours, nodes, models and sums there. Host code.
template <class DeviceType> struct OnDevice;

/// `pair_style mlff/kk [KEYWORD VALUE …]`: as PairMLFF, and `kernels auto|tiles|device`. Tiles are the engine of the processor on KOKKOS' arrays;
/// device has all on the device, which may be a processor for tests.
template <class DeviceType> class PairMLFFKokkos : public PairMLFF, public KokkosBase {
 public:
  PairMLFFKokkos(LAMMPS *lmp);
  ~PairMLFFKokkos() override;

  void settings(int narg, char **arg) override;
  void coeff(int narg, char **arg) override;
  void init_style() override;
  void compute(int eflag, int vflag) override;
  void *extract_peratom(const char *name, int &columns) override;
  void read_restart_settings(FILE *file) override;
  double memory_usage() override;

  int pack_forward_comm(int n, int *list, double *buf, int pbc_flag, int *pbc) override;
  void unpack_forward_comm(int n, int first, double *buf) override;
  int pack_reverse_comm(int n, int first, double *buf) override;
  void unpack_reverse_comm(int n, int *list, double *buf) override;
  int pack_forward_comm_kokkos(int n, DAT::tdual_int_1d list, DAT::tdual_double_1d &buf, int pbc_flag, int *pbc) override;
  void unpack_forward_comm_kokkos(int n, int first, DAT::tdual_double_1d &buf) override;
  int pack_reverse_comm_kokkos(int n, int first, DAT::tdual_double_1d &buf) override;
  void unpack_reverse_comm_kokkos(int n, DAT::tdual_int_1d list, DAT::tdual_double_1d &buf) override;

 protected:
  void make_model(Member &member) override;
  NeighborRows rows() const override;
  void deviate() override;

 private:
  /// Only the first execution space of a LAMMPS has device kernels: on a GPU the host variant is for tiles.
  static constexpr bool has_device = std::is_same_v<DeviceType, LMPDeviceType>;
  static constexpr bool on_host = Kokkos::SpaceAccessibility<Kokkos::HostSpace, typename DeviceType::memory_space>::accessible;

  void choose_kernels();
  void free_per_atom();
  void grow_per_atom();
  void sort_rows();
  void compute_on_device(int eflag, int vflag);
  void predict_device_memory();
  void evaluate_on_device(std::size_t member, const Array<DeviceType, double> &energy, const Array<DeviceType, double> &grad);
  void evaluate_drivers_on_device();
  void add_to_deviation_on_device(std::size_t member, const Array<DeviceType, double> &energy, const Array<DeviceType, double> &grad);
  void check(const double *sums);
  bool rejects_on_device();

  bool device_ = false;    // the device kernels, not the tiles
  std::unique_ptr<OnDevice<DeviceType>> on_device_;
  DAT::ttransform_kkacc_1d k_eatom_;
  DAT::ttransform_kkacc_1d_6 k_vatom_;
  DAT::ttransform_kkacc_1d_9 k_cvatom_;
  bool per_atom_on_device_ = false;    // whose arrays eatom, vatom and cvatom are
};

}    // namespace LAMMPS_NS
