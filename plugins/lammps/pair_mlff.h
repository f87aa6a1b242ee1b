// pair_style mlff: a trained machine-learned force field from one .mlff file.
#pragma once

#include "engine/model.h"
#include "exchange.h"
#include "neighborhood.h"
#include "pair.h"

#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

/// `pair_style mlff [precision double|single] [device cpu|cuda:N] [threads N] [chunk N] [ghosts exchange|wide]`
/// `pair_coeff * * FILE.mlff ELEMENT …` with one element (or NULL) per atom type
class PairMLFF : public Pair {
 public:
  PairMLFF(LAMMPS *lmp);
  ~PairMLFF() override;

  void settings(int narg, char **arg) override;
  void coeff(int narg, char **arg) override;
  void init_style() override;
  double init_one(int i, int j) override;
  void compute(int eflag, int vflag) override;
  int pack_forward_comm(int n, int *list, double *buf, int pbc_flag, int *pbc) override;
  void unpack_forward_comm(int n, int first, double *buf) override;
  int pack_reverse_comm(int n, int first, double *buf) override;
  void unpack_reverse_comm(int n, int *list, double *buf) override;
  void finish() override;
  double memory_usage() override;

 private:
  void allocate();
  void open(const std::string &path);
  std::vector<int> elements_of_types(int count, char **names) const;
  void update_owners();
  std::string too_close();
  std::string evaluate();
  void stop_together(std::string message);
  void scatter();

  metalff::Options options_;
  metalff::Artifact artifact_;
  std::unique_ptr<metalff::Model> model_;
  std::unique_ptr<Neighborhood> neighborhood_;
  FeatureExchange exchange_;
  bool wide_ghosts_ = false;                        // several ranks: ghosts to layers * r_max instead of exchange
  std::vector<int> owner_;                          // [nlocal + nghost] one rank: index of the owned atom
  std::vector<double> atomic_energy_, edge_grad_;
  bool warned_of_distance_ = false;

  struct Seconds {
    double edges = 0.0, model = 0.0, communication = 0.0, scatter = 0.0;
  };
  Seconds seconds_;                                 // of this rank, since the last finish()
};

}    // namespace LAMMPS_NS
