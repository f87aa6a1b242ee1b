#include "pair_mlff.h"

#include "atom.h"
#include "citeme.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "input.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "platform.h"
#include "timer.h"
#include "trial.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

using namespace LAMMPS_NS;
using metalff::reserve_for;

PairMLFF::PairMLFF(LAMMPS *lmp) : Pair(lmp), exchange_(lmp, this), exclusion_(lmp), deviation_file_(lmp), memory_(lmp)
{
  single_enable = 0;
  restartinfo = 1;
  one_coeff = 1;
  manybody_flag = 1;
  respa_enable = 0;
  no_virial_fdotr_compute = 1;    // the virial is summed over edges
  centroidstressflag = CENTROID_AVAIL;
  comm_forward = 1;
  comm_reverse = 3;    // one member at a time: pair_style hybrid asks before pair_coeff tells how many there are
}

PairMLFF::~PairMLFF()
{
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
    memory->destroy(cutghost);
  }
}

void PairMLFF::allocate()
{
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  memory->create(cutghost, n, n, "pair:cutghost");
  std::fill_n(&setflag[0][0], n * n, 0);
  std::fill_n(&cutsq[0][0], n * n, 0.0);
  std::fill_n(&cutghost[0][0], n * n, 0.0);
  allocated = 1;
}

void PairMLFF::settings(int narg, char **arg)
{
  read_settings({arg, arg + narg});
  if (settings_.kernels != Settings::Kernels::AUTO && !kokkosable)
    error->all(FLERR, "kernels of pair_style mlff are a choice of mlff/kk: leave the keyword out, or run LAMMPS with KOKKOS and '-k on g 1 -sf kk'");
}

/// \param words  of pair_style or of a restart file, which any variant of the style reads
void PairMLFF::read_settings(std::vector<std::string> words)
{
  const auto units = Units::of(update->unit_style, *force);
  if (!units)
    error->all(FLERR, "pair_style mlff does not know 'units {}': use metal, real, si or electron", update->unit_style);
  units_ = *units;
  settings_words_ = std::move(words);
  settings_ = Settings::of(settings_words_, units_, lmp);
  members_.clear();    // a second pair_style mlff keeps this object and pair_coeff: open the models anew
  deviation_file_.close();
}

void PairMLFF::coeff(int narg, char **arg)
{
  const int ntypes = atom->ntypes;
  if (narg < 4)
    error->all(FLERR, "pair_coeff of pair_style mlff must be: pair_coeff * * FILE.mlff and one element per atom type; "
               "several files make an ensemble");
  Coefficients words;
  int k = 2;
  do words.paths.push_back(arg[k++]);
  while (k < narg && utils::strmatch(arg[k], "\\.mlff$"));
  words.names.assign(arg + k, arg + narg);
  if (int(words.names.size()) != ntypes)
    error->all(FLERR, "pair_coeff of pair_style mlff names {} element(s) but there are {} atom type(s): give one per type",
               words.names.size(), ntypes);
  coefficients_ = words;
  restored_ = false;
  set_flags();
  load();
}

/// Which pairs of types the model sees, and what it makes known before the files are open.
void PairMLFF::set_flags()
{
  if (!allocated) allocate();
  const auto &names = coefficients_.names;
  for (int i = 1; i <= atom->ntypes; ++i)
    for (int j = i; j <= atom->ntypes; ++j) setflag[i][j] = names[i - 1] != "NULL" && names[j - 1] != "NULL";
  nextra = coefficients_.paths.size() > 1 ? 3 : 0;
  pvector = extremes_;
}

/// Opens the files of pair_coeff or of a restart file.
void PairMLFF::load()
{
  const std::size_t count = coefficients_.paths.size();
  members_.clear();
  members_.resize(count);
  r_max_ = 0.0;
  layers_ = 1;
  for (std::size_t m = 0; m < count; ++m) {
    Member &member = members_[m];
    open(coefficients_.paths[m], member);
    const metalff::Artifact &artifact = member.artifact;
    if (!coefficients_.sha256.empty() && artifact.sha256 != coefficients_.sha256[m])
      error->all(FLERR, "'{}' is not the model of the restart file: its manifest has sha256 {:.12}, that of the restart "
                 "file {:.12}; give pair_coeff after read_restart to use this one or another", artifact.path,
                 artifact.sha256, coefficients_.sha256[m]);
    member.element = elements_of_types(artifact);
    r_max_ = std::max(r_max_, artifact.r_max);
    layers_ = std::max(layers_, artifact.layers);
    comm_forward = std::max(comm_forward, member.feature_width);
    comm_reverse = std::max(comm_reverse, member.feature_width);
  }
  for (std::size_t m = 0; m < (settings_.mean ? count : 1); ++m)
    members_[m].extrapolation = std::make_unique<Extrapolation>(lmp, members_[m].artifact, members_[m].element, r_max_, settings_.extrapolation);
  coefficients_.sha256.clear();
  for (const auto &member : members_) coefficients_.sha256.push_back(member.artifact.sha256);
  neighborhood_ = std::make_unique<Neighborhood>(lmp, members_[0].element, r_max_ * units_.length, layers_);
  // a committee that came with a single model is asked only where the input wants to know
  const bool wanted = !settings_.deviation_file.empty() || settings_.stop_above > 0.0;
  const int committee = count == 1 && wanted && members_[0].model ? members_[0].model->committee() : 0;
  if (count == 1 && wanted && committee == 0)
    error->all(FLERR, "deviation and stop_above of pair_style mlff compare models, but there is only '{}', which has no committee: name two or "
               "more .mlff files in pair_coeff", coefficients_.paths[0]);
  deviation_ = count + committee > 1 ? std::make_unique<Deviation>(lmp, int(count) + committee) : nullptr;
  if (deviation_) nextra = 3;
}

/// Index into the model's elements by LAMMPS type (entry 0 is unused); NULL is -1.
std::vector<int> PairMLFF::elements_of_types(const metalff::Artifact &artifact) const
{
  std::vector<int> element(1, -1);
  const auto &known = artifact.elements;
  for (const std::string &name : coefficients_.names) {
    const auto at = std::find(known.begin(), known.end(), name);
    if (at == known.end() && name != "NULL") {
      std::string list;
      for (const auto &other : known) list += " " + other;
      error->all(FLERR, "'{}' does not describe element {}: it was trained on{}", artifact.path, name, list);
    }
    element.push_back(name == "NULL" ? -1 : int(at - known.begin()));
  }
  return element;
}

/// Ends the run on all ranks with the message of the first that has one. A rank that stopped alone would abort the
/// others, and the launcher may then lose what it said.
void PairMLFF::stop_together(std::string message)
{
  int mine = message.empty() ? comm->nprocs : comm->me, speaker;
  MPI_Allreduce(&mine, &speaker, 1, MPI_INT, MPI_MIN, world);
  if (speaker == comm->nprocs) return;
  int length = int(message.size());
  MPI_Bcast(&length, 1, MPI_INT, speaker, world);
  message.resize(length);
  MPI_Bcast(message.data(), length, MPI_CHAR, speaker, world);
  error->all(FLERR, message);
}

/// Every rank reads the file; the first compiles it if need be.
void PairMLFF::open(const std::string &path, Member &member)
{
  auto attempt = [&](bool now) {
    std::string failure;
    try {
      if (now) {
        member.artifact = metalff::Artifact::open(path);
        make_model(member);
      }
    } catch (const std::exception &e) {
      failure = e.what();
    }
    stop_together(failure);
  };
  attempt(comm->me == 0);
  attempt(comm->me != 0);

  const metalff::Artifact &artifact = member.artifact;
  if (comm->me == 0) {
    std::string elements;
    for (const auto &name : artifact.elements) elements += (elements.empty() ? "" : " ") + name;
    utils::logmesg(lmp, "pair_style mlff: {} ({}, {}), cutoff {} A, {} layer(s), engine {}, precision {}, "
                   "elements {}, manifest sha256 {:.12}\n", path, artifact.name, artifact.family, artifact.r_max, artifact.layers,
                   member.engine, settings_.precision, elements, artifact.sha256);
  }
  if (comm->me == 0 && !artifact.trained_on.empty())
    utils::logmesg(lmp, "pair_style mlff: {} was trained on {}\n", artifact.name, artifact.trained_on);
  if (lmp->citeme && !artifact.citation.empty())
    lmp->citeme->add("pair_style mlff, model " + artifact.name + ":\n\n" + artifact.citation + "\n\n");
}

void PairMLFF::make_model(Member &member)
{
  member.model = metalff::open_model(member.artifact, settings_.options);
  member.engine = member.model->engine();
  member.feature_width = member.model->feature_width();
}

NeighborRows PairMLFF::rows() const
{
  return rows_of(*list);
}

void PairMLFF::init_style()
{
  // on one rank a variant for KOKKOS, whose default is 'newton off', puts forces on owned atoms alone
  if (!force->newton_pair && !(kokkosable && comm->nprocs == 1))
    error->all(FLERR, "pair_style mlff needs forces on ghost atoms: use 'newton on' (or leave the newton command out)");
  if (utils::strmatch(update->integrate_style, "^respa"))
    error->all(FLERR, "pair_style mlff does not work with run_style {}: use 'run_style verlet'", update->integrate_style);
  for (int k = 1; atom->nbonds > 0 && k <= 3; ++k)
    if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
      error->all(FLERR, "a special_bonds factor of 0 takes bonded neighbours away from pair_style mlff: use 'special_bonds "
                 "lj/coul 1 1 1'");
  if (members_.empty()) load();    // after read_restart

  const bool wide = settings_.wide_ghosts && comm->nprocs > 1 && layers_ > 1;
  ghostneigh = wide;
  // pair_style hybrid asked for the widths of messages before the models were open; comm sizes its buffers after this
  force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
  force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
  if (wide) {
    if (comm->mode != Comm::SINGLE)
      error->all(FLERR, "'ghosts wide' on several ranks needs 'comm_modify mode single': use that or 'ghosts exchange'");
    // messages come from as far as layers * r_max; init_one() would widen every neighbour list instead
    const double needed = layers_ * r_max_ * units_.length + neighbor->skin;
    if (comm->cutghostuser > 0.0 && comm->cutghostuser < needed && comm->me == 0)
      error->warning(FLERR, "comm_modify cutoff {:g} is too small for 'ghosts wide' of pair_style mlff: {:g} is used, {} layers of "
                     "{:g} and the skin", comm->cutghostuser, needed, layers_, r_max_ * units_.length);
    comm->cutghostuser = std::max(comm->cutghostuser, needed);
  }
  neighbor->add_request(this, wide ? NeighConst::REQ_FULL | NeighConst::REQ_GHOST : NeighConst::REQ_FULL);
}

double PairMLFF::init_one(int i, int j)
{
  cutghost[i][j] = cutghost[j][i] = r_max_ * units_.length;
  return r_max_ * units_.length;
}

/// The neighbours of this step, in Å.
void PairMLFF::find_neighbors()
{
  if (comm->nprocs == 1)
    neighborhood_->fold(rows(), owner_, types_);
  else
    neighborhood_->unfold(rows(), settings_.wide_ghosts ? layers_ : 1, types_);
  metalff::Graph &graph = neighborhood_->graph;
  if (units_.length != 1.0)
    for (int64_t k = 0; k < 3 * graph.n_edges(); ++k) graph.edge_vec[k] /= units_.length;
}

/// A strictly local model that drives alone may take LAMMPS' list as it is, without a graph. Returns false where it cannot.
bool PairMLFF::walk()
{
  const Member &member = members_[0];
  const Extrapolation *guard = member.extrapolation.get();
  if (deviation_ || vflag_atom || cvflag_atom || units_.length != 1.0 || (guard && !guard->unseen().empty())) return false;
  metalff::Surroundings around;
  around.n = atom->nlocal, around.n_all = atom->nlocal + atom->nghost;
  if (atom->nlocal > 0) around.x = atom->x[0], around.force = atom->f[0];
  around.type = types_, around.element = member.element.data();
  around.image_of = comm->nprocs == 1 ? owner_.data() : nullptr;
  around.neighbors = rows(), around.mask = NEIGHMASK, around.r_max = r_max_, around.unit_of_force = units_.force();
  if (eflag_atom) {
    reserve_for(atomic_energy_, atom->nlocal);
    std::fill_n(atomic_energy_.begin(), atom->nlocal, 0.0);
    around.atomic_energy = atomic_energy_.data();
  }
  if (!member.model->walk(around)) return false;
  const Extrapolation::Measure measure{std::sqrt(around.shortest_squared), around.most_neighbors, around.fewest_neighbors};
  bool found = false;
  std::string failure;
  if (trial_) {
    if (guard && member.extrapolation->rejects(measure)) {
      reject();
      return true;
    }
  } else if (guard)
    failure = member.extrapolation->check(measure, [&](Extrapolation::Kind kind) {
      if (!found) find_neighbors();
      found = true;
      return guard->count(*neighborhood_, kind);
    });
  if (failure.empty() && !trial_ && !std::isfinite(around.energy)) failure = not_finite();
  stop_together(failure);
  eng_vdwl += units_.energy * around.energy;
  if (eflag_atom)
    for (int i = 0; i < atom->nlocal; ++i) eatom[i] += units_.energy * atomic_energy_[i];
  if (vflag_global)
    for (int c = 0; c < 6; ++c) virial[c] -= units_.energy * around.w[c];
  return true;
}

std::string PairMLFF::not_finite() const
{
  return fmt::format("pair_style mlff: the energy is not a finite number at step {}: look for overlapping atoms, NaN positions or too long a "
                     "timestep", update->ntimestep);
}

void PairMLFF::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const double start = platform::walltime();
  trial_ = is_trial(lmp, eflag);
  if (comm->nprocs == 1 && neighbor->ago == 0) update_owners();
  if (neighbor->ago == 0) exclusion_.update();
  types_ = exclusion_.types();
  computed_at_ = update->ntimestep;
  deviated_at_ = -1;
  if (walk()) {
    if (update->setupflag) predict_memory();
    seconds_.model += platform::walltime() - start;
    if (trial_ && !std::isfinite(eng_vdwl)) reject();
    return;
  }
  find_neighbors();
  metalff::Graph &graph = neighborhood_->graph;
  if (trial_ && rejects()) {
    seconds_.edges += platform::walltime() - start;
    return reject();
  }
  std::string failure = trial_ ? std::string() : extrapolates();
  const double evaluating = platform::walltime();
  if (!failure.empty()) stop_together(failure);
  if (update->setupflag) predict_memory();
  exchange_.seconds = 0.0;
  evaluate_drivers();
  const double evaluated = platform::walltime();
  const double scattering = platform::walltime();
  if (graph.n_owned > 0) scatter();
  seconds_.edges += evaluating - start;
  seconds_.model += evaluated - evaluating - exchange_.seconds;
  seconds_.communication += exchange_.seconds;
  seconds_.scatter += platform::walltime() - scattering;

  if (trial_) {
    if (!std::isfinite(eng_vdwl)) reject();
  } else if (deviation_ && update->ntimestep % settings_.every == 0) {
    deviate();
    report_deviation();
  }
}

/// Whether positions that Monte Carlo tries are beyond a model that drives; all ranks take part.
bool PairMLFF::rejects()
{
  const double shortest = std::sqrt(neighborhood_->shortest_squared) / units_.length;
  bool any = false;
  for (auto &member : members_)
    if (member.extrapolation && member.extrapolation->rejects(*neighborhood_, shortest)) any = true;
  return any;
}

/// The energy of a trial that must not be accepted.
void PairMLFF::reject()
{
  eng_vdwl = rejected_energy;
  computed_at_ = -1;    // no forces to compare
}

/// What must end the run because a model that drives knows nothing like it, or nothing; all ranks take part.
std::string PairMLFF::extrapolates()
{
  const double shortest = std::sqrt(neighborhood_->shortest_squared) / units_.length;
  for (auto &member : members_)
    if (member.extrapolation)
      if (std::string failure = member.extrapolation->check(*neighborhood_, shortest); !failure.empty()) return failure;
  return {};
}

/// Says what the run will take, and ends it when there is less: before the first step, not out of memory in the middle.
void PairMLFF::predict_memory()
{
  const metalff::Graph &graph = neighborhood_->graph;
  const double all = atom->nlocal + atom->nghost, edges = graph.n_edges();
  auto missing = [](const std::vector<double> &have, double want) { return std::max(0.0, 1.1 * want - have.capacity()); };
  double need = missing(atomic_energy_, graph.n_nodes) + missing(edge_grad_, 3.0 * edges);
  if (deviation_) need += missing(other_energy_, graph.n_nodes) + missing(other_grad_, 3.0 * edges);
  if (comm->nprocs > 1 && !settings_.wide_ghosts) need += std::max(0.0, 1.1 * all * comm_forward - exchange_.bytes() / sizeof(double));
  need *= sizeof(double);
  if (deviation_) need += deviation_->missing_bytes(int(all));
  double passing = 0.0;    // members are evaluated one after the other
  std::string failure;
  for (auto &member : members_) {
    const std::string of_member = with(member, [&] {
      const metalff::Need needed = member.model->memory(graph);
      need += needed.kept;
      passing = std::max(passing, needed.passing);
    });
    if (failure.empty()) failure = of_member;
  }
  stop_together(failure);
  stop_together(memory_.check(need + passing));
}

/// Does something with the graph as a member sees it: types count the elements of its model. Returns what failed.
std::string PairMLFF::with(const Member &member, const std::function<void()> &act)
{
  metalff::Graph &graph = neighborhood_->graph;
  auto count_elements_of = [&](const Member &of) {
    if (member.element != members_[0].element)
      for (int node = 0; node < graph.n_nodes; ++node)
        graph.types[node] = of.element[atom->type[neighborhood_->atom_of[node]]];
  };
  count_elements_of(member);
  std::string failure;
  try {
    act();
  } catch (const std::exception &e) {
    failure = fmt::format("'{}' could not be evaluated: {}", member.artifact.path, e.what());
  }
  count_elements_of(members_[0]);
  return failure;
}

/// Atomic energies and edge gradients of one member, in LAMMPS' units; all ranks take part.
void PairMLFF::evaluate(std::size_t m, std::vector<double> &energy, std::vector<double> &grad)
{
  metalff::Graph &graph = neighborhood_->graph;
  const Member &member = members_[m];
  const bool exchange = comm->nprocs > 1 && !settings_.wide_ghosts && member.artifact.layers > 1;
  if (!exchange && graph.n_owned == 0) return stop_together({});
  exchange_.set_nodes(neighborhood_->atom_of, graph.n_owned, graph.n_nodes);
  reserve_for(energy, graph.n_nodes);
  reserve_for(grad, 3 * graph.n_edges());
  std::string failure = with(member, [&] {
    member.model->evaluate(graph, energy.data(), grad.data(), exchange ? &exchange_ : nullptr);
  });
  const auto first = energy.begin();
  if (failure.empty() && !trial_ && !std::isfinite(std::accumulate(first, first + graph.n_owned, 0.0)))
    failure = not_finite();
  stop_together(failure);
  if (units_.energy != 1.0)
    for (int node = 0; node < graph.n_owned; ++node) energy[node] *= units_.energy;
  if (units_.force() != 1.0)
    for (int64_t k = 0; k < 3 * graph.n_edges(); ++k) grad[k] *= units_.force();
}

/// What drives: the first member, or the mean of all.
void PairMLFF::evaluate_drivers()
{
  const metalff::Graph &graph = neighborhood_->graph;
  evaluate(0, atomic_energy_, edge_grad_);
  if (settings_.mean && members_.size() > 1) {
    deviation_->start(atom->nlocal + atom->nghost);
    add_to_deviation(0, atomic_energy_, edge_grad_);
    for (std::size_t m = 1; m < members_.size(); ++m) {
      evaluate(m, other_energy_, other_grad_);
      add_to_deviation(m, other_energy_, other_grad_);
      for (int node = 0; node < graph.n_owned; ++node) atomic_energy_[node] += other_energy_[node];
      for (int64_t k = 0; k < 3 * graph.n_edges(); ++k) edge_grad_[k] += other_grad_[k];
    }
    const double share = 1.0 / double(members_.size());
    for (int node = 0; node < graph.n_owned; ++node) atomic_energy_[node] *= share;
    for (int64_t k = 0; k < 3 * graph.n_edges(); ++k) edge_grad_[k] *= share;
  }
  const auto first = atomic_energy_.begin();
  eng_vdwl += std::accumulate(first, first + graph.n_owned, 0.0);
}

void PairMLFF::add_to_deviation(std::size_t m, const std::vector<double> &energy, const std::vector<double> &grad)
{
  const metalff::Graph &graph = neighborhood_->graph;
  const std::vector<int> &atom_of = neighborhood_->atom_of;
  double *force = deviation_->force(int(m));
  deviation_->energy(int(m)) = std::accumulate(energy.begin(), energy.begin() + graph.n_owned, 0.0);
  if (graph.n_owned == 0) return;
  for (int node = 0; node < graph.n_nodes; ++node) {
    double *fi = force + 3 * std::size_t(atom_of[node]);
    for (int64_t edge = graph.first[node]; edge < graph.first[node + 1]; ++edge) {
      double *fj = force + 3 * std::size_t(atom_of[graph.neighbor[edge]]);
      for (int c = 0; c < 3; ++c) fi[c] += grad[3 * edge + c], fj[c] -= grad[3 * edge + c];
    }
  }
}

/// Of a single model that came with a committee: its members after itself.
void PairMLFF::add_committee_to_deviation()
{
  const metalff::Graph &graph = neighborhood_->graph;
  const std::vector<int> &atom_of = neighborhood_->atom_of;
  const std::size_t members = deviation_->members() - 1, numbers = 3 * std::size_t(graph.n_nodes);
  committee_force_.assign(members * numbers, 0.0);
  std::vector<double> energy(members, 0.0);
  std::vector<double *> force;
  for (std::size_t m = 0; m < members; ++m) force.push_back(committee_force_.data() + m * numbers);
  stop_together(with(members_[0], [&] {
    if (graph.n_owned > 0) members_[0].model->evaluate_committee(graph, energy.data(), force.data());
  }));
  for (std::size_t m = 0; m < members; ++m) {
    deviation_->energy(int(m) + 1) = energy[m] * units_.energy;
    double *to = deviation_->force(int(m) + 1);
    for (int node = 0; node < graph.n_nodes; ++node)
      for (int c = 0; c < 3; ++c) to[3 * std::size_t(atom_of[node]) + c] += force[m][3 * std::size_t(node) + c] * units_.force();
  }
}

void PairMLFF::deviate()
{
  const double start = platform::walltime();
  exchange_.seconds = 0.0;
  if (!settings_.mean || members_.size() == 1) {
    deviation_->start(atom->nlocal + atom->nghost);
    add_to_deviation(0, atomic_energy_, edge_grad_);
    for (std::size_t m = 1; m < members_.size(); ++m) {
      evaluate(m, other_energy_, other_grad_);
      add_to_deviation(m, other_energy_, other_grad_);
    }
    if (members_.size() < deviation_->members()) add_committee_to_deviation();
  }
  if (comm->nprocs > 1)    // on one rank no force is on a ghost
    for (reversing_ = 0; reversing_ < deviation_->members(); ++reversing_) comm->reverse_comm(this, 3);
  deviation_->reduce(neighborhood_->atom_of, neighborhood_->graph.n_owned);
  deviated_at_ = update->ntimestep;
  // compute pair sums over ranks
  if (comm->me == 0)
    extremes_[0] = deviation_->largest, extremes_[1] = deviation_->smallest, extremes_[2] = deviation_->mean;
  seconds_.model += platform::walltime() - start - exchange_.seconds;
  seconds_.communication += exchange_.seconds;
}

/// A line in the file, once per step; the end of the run when the models disagree too much.
void PairMLFF::report_deviation()
{
  const Deviation &d = *deviation_;
  if (comm->me == 0 && !settings_.deviation_file.empty())
    deviation_file_.write(settings_.deviation_file, restored_, units_, update->ntimestep, d);
  if (settings_.stop_above > 0.0 && d.largest > settings_.stop_above && !stopping_) {
    stopping_ = true;
    timer->force_timeout();    // LAMMPS ends the run after this step; finish() lets it go on with the input
    if (comm->me == 0)
      utils::logmesg(lmp, "pair_style mlff: the forces of the models deviate by {:.4g} {} on an atom at step {}, more "
                     "than stop_above {:.4g}: the run ends after this step (rerun: after its frames)\n", d.largest,
                     units_.name_of_force, update->ntimestep, settings_.stop_above);
  }
}

/// Per-atom deviation for fix pair; also on steps between those of the keyword deviation.
void *PairMLFF::extract_peratom(const char *name, int &columns)
{
  if (strcmp(name, "deviation") != 0 || nextra == 0) return nullptr;
  columns = 0;
  if (!deviation_) return nullptr;    // fix pair only asks for the number of columns before the run
  // a fix asks after the forces of the step, while neighbours and positions are still those of compute()
  if (update->whichflag != 0 && computed_at_ == update->ntimestep && deviated_at_ != update->ntimestep) deviate();
  reserve_for(deviation_->per_atom, atom->nmax);
  return deviation_->per_atom.data();
}

/// End of a run: where the time of this pair style went, averaged over ranks; how often atoms were too close.
void PairMLFF::finish()
{
  double mine[4] = {seconds_.edges, seconds_.model, seconds_.communication, seconds_.scatter}, sum[4];
  MPI_Reduce(mine, sum, 4, MPI_DOUBLE, MPI_SUM, 0, world);
  if (comm->me == 0) {
    for (int k = 0; k < 4; ++k) sum[k] /= comm->nprocs;
    const double total = sum[0] + sum[1] + sum[2] + sum[3];
    if (total > 0.0)
      utils::logmesg(lmp, "pair_style mlff timing: edges {:.4g} s, model {:.4g} s, communication {:.4g} s, scatter {:.4g} s; "
                     "{:.2f} % outside the model\n", sum[0], sum[1], sum[2], sum[3], 100.0 * (total - sum[1]) / total);
  }
  for (auto &member : members_)
    if (member.extrapolation) member.extrapolation->report();
  seconds_ = Seconds();
  if (stopping_) {
    stopping_ = false;
    timer->reset_timeout();
    lmp->input->one("write_restart " + settings_.stop_restart);
    if (comm->me == 0)
      utils::logmesg(lmp, "pair_style mlff: restart file {} written, the input goes on\n", settings_.stop_restart);
  }
}

void PairMLFF::scatter()
{
  const metalff::Graph &graph = neighborhood_->graph;
  const std::vector<int> &atom_of = neighborhood_->atom_of;

  if (eflag_atom)
    for (int node = 0; node < graph.n_owned; ++node) eatom[atom_of[node]] += atomic_energy_[node];

  double **f = atom->f;
  const double length = units_.length;
  double w[6] = {};    // Σ r ⊗ dE/dr over edges: xx yy zz xy xz yz
  for (int node = 0; node < graph.n_nodes; ++node) {
    double *fi = f[atom_of[node]];
    for (int64_t edge = graph.first[node]; edge < graph.first[node + 1]; ++edge) {
      const double *r = &graph.edge_vec[3 * edge], *g = &edge_grad_[3 * edge];
      const int j = atom_of[graph.neighbor[edge]];
      double *fj = f[j];
      for (int c = 0; c < 3; ++c) fi[c] += g[c], fj[c] -= g[c];
      const double v[6] = {r[0] * g[0], r[1] * g[1], r[2] * g[2], r[0] * g[1], r[0] * g[2], r[1] * g[2]};
      for (int c = 0; c < 6; ++c) w[c] += v[c];
      if (vflag_atom)
        for (int c = 0; c < 6; ++c) {
          vatom[atom_of[node]][c] -= 0.5 * length * v[c];
          vatom[j][c] -= 0.5 * length * v[c];
        }
      if (cvflag_atom) {
        // the centre's energy flows to the neighbour as g·v_neighbour over -r: all of -r ⊗ g is the neighbour's,
        // W_i = Σ_j r_ij ⊗ dU_j/dr_ji (Fan et al., Phys. Rev. B 92, 094301 (2015))
        double *cv = cvatom[j];
        for (int c = 0; c < 6; ++c) cv[c] -= length * v[c];
        cv[6] -= length * r[1] * g[0], cv[7] -= length * r[2] * g[0], cv[8] -= length * r[2] * g[1];
      }
    }
  }
  if (vflag_global)
    for (int c = 0; c < 6; ++c) virial[c] -= length * w[c];
}

/// On one rank every ghost is an image of an owned atom: send each atom's own index along with it.
void PairMLFF::update_owners()
{
  reserve_for(owner_, atom->nlocal + atom->nghost);
  for (int i = 0; i < atom->nlocal; ++i) owner_[i] = i;
  comm->forward_comm(this);
}

int PairMLFF::pack_forward_comm(int n, int *list, double *buf, int /*pbc_flag*/, int * /*pbc*/)
{
  if (exchange_.active) return exchange_.pack_forward(n, list, buf);
  for (int k = 0; k < n; ++k) buf[k] = ubuf(owner_[list[k]]).d;
  return n;
}

void PairMLFF::unpack_forward_comm(int n, int first, double *buf)
{
  if (exchange_.active) return exchange_.unpack_forward(n, first, buf);
  for (int k = 0; k < n; ++k) owner_[first + k] = int(ubuf(buf[k]).i);
}

int PairMLFF::pack_reverse_comm(int n, int first, double *buf)
{
  if (exchange_.active) return exchange_.pack_reverse(n, first, buf);
  std::copy_n(deviation_->force(int(reversing_)) + 3 * std::size_t(first), 3 * std::size_t(n), buf);
  return 3 * n;
}

void PairMLFF::unpack_reverse_comm(int n, int *list, double *buf)
{
  if (exchange_.active) return exchange_.unpack_reverse(n, list, buf);
  double *force = deviation_->force(int(reversing_));
  for (int k = 0; k < n; ++k)
    for (int c = 0; c < 3; ++c) force[3 * std::size_t(list[k]) + c] += buf[3 * k + c];
}

void PairMLFF::write_restart(FILE *file)
{
  write_restart_settings(file);
  std::vector<std::string> paths;
  for (const std::string &path : coefficients_.paths) paths.push_back(std::filesystem::absolute(path).string());
  write_words(file, paths);
  write_words(file, coefficients_.sha256);
  write_words(file, coefficients_.names);
}

/// The models are opened when the first run begins, so that another pair_coeff may still name others.
void PairMLFF::read_restart(FILE *file)
{
  read_restart_settings(file);
  coefficients_.paths = read_words(file, lmp);
  coefficients_.sha256 = read_words(file, lmp);
  coefficients_.names = read_words(file, lmp);
  members_.clear();
  restored_ = true;
  set_flags();
}

void PairMLFF::write_restart_settings(FILE *file)
{
  write_words(file, settings_words_);
}

void PairMLFF::read_restart_settings(FILE *file)
{
  read_settings(read_words(file, lmp));
}

double PairMLFF::memory_usage()
{
  double bytes = Pair::memory_usage();
  bytes += exchange_.bytes() + double(owner_.capacity()) * sizeof(int);
  bytes += double(atomic_energy_.capacity() + edge_grad_.capacity() + other_energy_.capacity() +
                  other_grad_.capacity()) * sizeof(double);
  if (neighborhood_) {
    const metalff::Graph &g = neighborhood_->graph;
    bytes += double(g.edge_vec.capacity()) * sizeof(double) + double(g.neighbor.capacity()) * sizeof(int32_t);
  }
  return bytes;
}
