// pair_style mlff: trained machine-learned force fields from .mlff files.
#pragma once

#include "deviation.h"
#include "engine/model.h"
#include "exclusion.h"
#include "exchange.h"
#include "extrapolation.h"
#include "memory_forecast.h"
#include "neighborhood.h"
#include "pair.h"
#include "settings.h"
#include "units.h"

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace LAMMPS_NS {

/// `pair_style mlff [KEYWORD VALUE …]`, keywords in docs/pair_mlff.md
/// `pair_coeff * * FILE.mlff [FILE.mlff …] ELEMENT …` with one element (or NULL) per atom type
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
  void *extract_peratom(const char *name, int &columns) override;
  void write_restart(FILE *file) override;
  void read_restart(FILE *file) override;
  void write_restart_settings(FILE *file) override;
  void read_restart_settings(FILE *file) override;
  double memory_usage() override;

 protected:
  /// One model of the ensemble.
  struct Member {
    metalff::Artifact artifact;
    std::unique_ptr<metalff::Model> model;    // null where another kind evaluates
    std::string engine;                       // what evaluates, in words
    int feature_width = 0;                    // of the widest features that it exchanges
    std::vector<int> element;    // [ntypes + 1] index into the model's elements by LAMMPS type; -1: not seen
    std::unique_ptr<Extrapolation> extrapolation;    // null: does not drive
  };

  /// Makes what evaluates a member whose artefact is open. Throws Error.
  virtual void make_model(Member &member);
  /// The neighbours of every atom that is a centre.
  virtual NeighborRows rows() const;
  /// How far the members lie apart at the positions of the last compute(); all ranks take part.
  virtual void deviate();

  void read_settings(std::vector<std::string> words);
  void allocate();
  void set_flags();
  void load();
  void open(const std::string &path, Member &member);
  std::vector<int> elements_of_types(const metalff::Artifact &artifact) const;
  void update_owners();
  void find_neighbors();
  bool walk();
  bool rejects();
  void reject();
  std::string not_finite() const;
  std::string extrapolates();
  void predict_memory();
  std::string with(const Member &member, const std::function<void()> &act);
  void evaluate(std::size_t member, std::vector<double> &energy, std::vector<double> &grad);
  void evaluate_drivers();
  void add_to_deviation(std::size_t member, const std::vector<double> &energy, const std::vector<double> &grad);
  void add_committee_to_deviation();
  void report_deviation();
  void stop_together(std::string message);
  void scatter();

  Settings settings_;
  std::vector<std::string> settings_words_;
  Coefficients coefficients_;
  Units units_;
  std::vector<Member> members_;                     // empty until the files are open
  double r_max_ = 0.0;                              // Å, the largest of the members
  int layers_ = 1;
  std::unique_ptr<Neighborhood> neighborhood_;
  FeatureExchange exchange_;
  std::vector<int> owner_;                          // [nlocal + nghost] one rank: index of the owned atom
  Exclusion exclusion_;
  const int *types_ = nullptr;                      // [nlocal + nghost] of this evaluation; 0: excluded from all others
  bool trial_ = false;                              // this evaluation is for Monte Carlo
  std::vector<double> atomic_energy_, edge_grad_;   // of what drives
  std::vector<double> other_energy_, other_grad_;   // of another member

  std::vector<double> committee_force_;             // [members, nodes, 3]
  std::unique_ptr<Deviation> deviation_;            // of an ensemble
  std::size_t reversing_ = 0;                       // the member whose forces comm carries
  bigint computed_at_ = -1, deviated_at_ = -1;    // steps
  double extremes_[3] = {};                         // pvector: largest, smallest, mean deviation
  DeviationFile deviation_file_;                    // rank 0
  bool restored_ = false;                           // from a restart file: its deviation file goes on
  bool stopping_ = false;

  MemoryForecast memory_;

  struct Seconds {
    double edges = 0.0, model = 0.0, communication = 0.0, scatter = 0.0;
  };
  Seconds seconds_;                                 // of this rank, since the last finish()
};

}    // namespace LAMMPS_NS
