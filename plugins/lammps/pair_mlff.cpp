#include "pair_mlff.h"

#include "atom.h"
#include "citeme.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "platform.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace LAMMPS_NS;
using metalff::reserve_for;

/// Number of characters to insert, delete or replace to get from one word to the other.
static std::size_t edits(const std::string &from, const std::string &to)
{
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i - 1] != to[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

/// " (did you mean 'x'?)" for the closest valid word, or nothing.
static std::string hint(const std::string &word, const std::vector<std::string> &valid)
{
  auto closer = [&](const std::string &a, const std::string &b) { return edits(word, a) < edits(word, b); };
  const std::string best = *std::min_element(valid.begin(), valid.end(), closer);
  return edits(word, best) <= best.size() / 2 ? " (did you mean '" + best + "'?)" : "";
}

PairMLFF::PairMLFF(LAMMPS *lmp) : Pair(lmp), exchange_(lmp, this)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  respa_enable = 0;
  no_virial_fdotr_compute = 1;    // the virial is summed over edges
  centroidstressflag = CENTROID_NOTAVAIL;
  comm_forward = 1;
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
  if (strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "pair_style mlff works in eV and Angstrom: put 'units metal' at the top of the input, not 'units {}'",
               update->unit_style);
  options_ = metalff::Options();
  wide_ghosts_ = false;
  const std::vector<std::string> valid = {"precision", "device", "threads", "chunk", "ghosts"};
  const std::string names = "precision, device, threads, chunk, ghosts";
  for (int k = 0; k < narg; k += 2) {
    const std::string key = arg[k];
    if (std::find(valid.begin(), valid.end(), key) == valid.end())
      error->all(FLERR, "unknown keyword '{}' of pair_style mlff{}: valid are {}", key, hint(key, valid),
                 names);
    if (k + 1 == narg) error->all(FLERR, "keyword '{}' of pair_style mlff needs a value", key);
    const std::string value = arg[k + 1];
    if (key == "precision") {
      if (value != "double" && value != "single")
        error->all(FLERR, "precision of pair_style mlff must be double or single, not '{}'", value);
      options_.single = value == "single";
    } else if (key == "device") {
      if (value != "cpu" && !utils::strmatch(value, "^cuda:\\d+$"))
        error->all(FLERR, "device of pair_style mlff must be cpu or cuda:N, not '{}'", value);
      options_.device = value;
    } else if (key == "chunk") {
      options_.chunk = value == "auto" ? 0 : utils::inumeric(FLERR, value, false, lmp);
      if (options_.chunk < 1 && value != "auto") error->all(FLERR, "chunk of pair_style mlff must be auto or at least 1");
    } else if (key == "ghosts") {
      if (value != "exchange" && value != "wide")
        error->all(FLERR, "ghosts of pair_style mlff must be exchange or wide, not '{}'", value);
      wide_ghosts_ = value == "wide";
    } else {
      options_.threads = utils::inumeric(FLERR, value, false, lmp);
      if (options_.threads < 1) error->all(FLERR, "threads of pair_style mlff must be at least 1");
    }
  }
}

void PairMLFF::coeff(int narg, char **arg)
{
  const int ntypes = atom->ntypes;
  if (narg < 4)
    error->all(FLERR, "pair_coeff of pair_style mlff must be: pair_coeff * * FILE.mlff and one element per atom type");
  if (narg - 3 != ntypes)
    error->all(FLERR, "pair_coeff of pair_style mlff names {} element(s) but there are {} atom type(s): give one per type",
               narg - 3, ntypes);
  if (!allocated) allocate();

  open(arg[2]);
  const std::vector<int> element = elements_of_types(ntypes, arg + 3);
  for (int i = 1; i <= ntypes; ++i)
    for (int j = i; j <= ntypes; ++j) setflag[i][j] = element[i] >= 0 && element[j] >= 0;
  comm_forward = comm_reverse = std::max(1, model_->feature_width());
  neighborhood_ = std::make_unique<Neighborhood>(lmp, element, artifact_.r_max, artifact_.layers);
}

/// Index into the model's elements by LAMMPS type (entry 0 is unused); NULL is -1.
std::vector<int> PairMLFF::elements_of_types(int count, char **names) const
{
  std::vector<int> element(count + 1, -1);
  for (int k = 0; k < count; ++k) {
    if (strcmp(names[k], "NULL") == 0) continue;
    const auto &known = artifact_.elements;
    const auto at = std::find(known.begin(), known.end(), names[k]);
    if (at == known.end()) {
      std::string list;
      for (const auto &name : known) list += " " + name;
      error->all(FLERR, "'{}' does not describe element {}: it was trained on{}", artifact_.path, names[k], list);
    }
    element[k + 1] = int(at - known.begin());
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
void PairMLFF::open(const std::string &path)
{
  auto attempt = [&](bool now) {
    std::string failure;
    try {
      if (now) {
        artifact_ = metalff::Artifact::open(path);
        model_ = metalff::open_model(artifact_, options_);
      }
    } catch (const std::exception &e) {
      failure = e.what();
    }
    stop_together(failure);
  };
  attempt(comm->me == 0);
  attempt(comm->me != 0);

  if (comm->me == 0)
    utils::logmesg(lmp, "pair_style mlff: {} ({}, {}), cutoff {} A, {} layer(s), precision {}, manifest sha256 {:.12}\n",
                   path, artifact_.name, artifact_.family, artifact_.r_max, artifact_.layers,
                   options_.single ? "single" : "double", artifact_.sha256);
  if (lmp->citeme && !artifact_.citation.empty())
    lmp->citeme->add("pair_style mlff, model " + artifact_.name + ":\n\n" + artifact_.citation + "\n\n");
}

void PairMLFF::init_style()
{
  if (!force->newton_pair)
    error->all(FLERR, "pair_style mlff needs forces on ghost atoms: use 'newton on' (or leave the newton command out)");

  const bool wide = wide_ghosts_ && comm->nprocs > 1 && artifact_.layers > 1;
  ghostneigh = wide;
  if (wide) {
    if (comm->mode != Comm::SINGLE)
      error->all(FLERR, "'ghosts wide' on several ranks needs 'comm_modify mode single': use that or 'ghosts exchange'");
    // messages come from as far as layers * r_max; init_one() would widen every neighbour list instead
    comm->cutghostuser = std::max(comm->cutghostuser, artifact_.layers * artifact_.r_max + neighbor->skin);
  }
  neighbor->add_request(this, wide ? NeighConst::REQ_FULL | NeighConst::REQ_GHOST : NeighConst::REQ_FULL);
}

double PairMLFF::init_one(int i, int j)
{
  cutghost[i][j] = cutghost[j][i] = artifact_.r_max;
  return artifact_.r_max;
}

void PairMLFF::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const double start = platform::walltime();
  if (comm->nprocs == 1) {
    if (neighbor->ago == 0) update_owners();
    neighborhood_->fold(*list, owner_);
  } else {
    neighborhood_->unfold(*list, wide_ghosts_ ? artifact_.layers : 1);
  }
  const metalff::Graph &graph = neighborhood_->graph;
  std::string failure = too_close();
  const double evaluating = platform::walltime();
  stop_together(failure);
  exchange_.seconds = 0.0;
  failure = evaluate();
  const double evaluated = platform::walltime();
  stop_together(failure);
  const double scattering = platform::walltime();
  if (graph.n_owned > 0) scatter();
  seconds_.edges += evaluating - start;
  seconds_.model += evaluated - evaluating - exchange_.seconds;
  seconds_.communication += exchange_.seconds;
  seconds_.scatter += platform::walltime() - scattering;
}

/// Atomic energies and edge gradients of the graph. Returns why there are none, or nothing.
std::string PairMLFF::evaluate()
{
  const metalff::Graph &graph = neighborhood_->graph;
  const bool exchange = comm->nprocs > 1 && !wide_ghosts_ && artifact_.layers > 1;
  if (!exchange && graph.n_owned == 0) return {};
  exchange_.set_nodes(neighborhood_->atom_of, graph.n_owned, graph.n_nodes);
  reserve_for(atomic_energy_, graph.n_nodes);
  reserve_for(edge_grad_, 3 * graph.n_edges());
  try {
    model_->evaluate(graph, atomic_energy_.data(), edge_grad_.data(), exchange ? &exchange_ : nullptr);
  } catch (const std::exception &e) {
    return fmt::format("'{}' could not be evaluated: {}", artifact_.path, e.what());
  }
  const auto first = atomic_energy_.begin();
  const double energy = std::accumulate(first, first + graph.n_owned, 0.0);
  if (!std::isfinite(energy))
    return fmt::format("pair_style mlff: the energy is not a finite number at step {}: look for overlapping atoms, NaN "
                       "positions or too long a timestep", update->ntimestep);
  eng_vdwl += energy;
  return {};
}

/// End of a run: where the time of this pair style went, averaged over ranks.
void PairMLFF::finish()
{
  double mine[4] = {seconds_.edges, seconds_.model, seconds_.communication, seconds_.scatter}, sum[4];
  MPI_Reduce(mine, sum, 4, MPI_DOUBLE, MPI_SUM, 0, world);
  seconds_ = Seconds();
  if (comm->me != 0) return;
  for (double &s : sum) s /= comm->nprocs;
  const double total = sum[0] + sum[1] + sum[2] + sum[3];
  if (total > 0.0)
    utils::logmesg(lmp, "pair_style mlff timing: edges {:.4g} s, model {:.4g} s, communication {:.4g} s, scatter {:.4g} s; "
                   "{:.2f} % outside the model\n", sum[0], sum[1], sum[2], sum[3], 100.0 * (total - sum[1]) / total);
}

void PairMLFF::scatter()
{
  const metalff::Graph &graph = neighborhood_->graph;
  const std::vector<int> &atom_of = neighborhood_->atom_of;

  if (eflag_atom)
    for (int node = 0; node < graph.n_owned; ++node) eatom[atom_of[node]] += atomic_energy_[node];

  double **f = atom->f;
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
        for (int c = 0; c < 6; ++c) vatom[atom_of[node]][c] -= 0.5 * v[c], vatom[j][c] -= 0.5 * v[c];
    }
  }
  if (vflag_global)
    for (int c = 0; c < 6; ++c) virial[c] -= w[c];
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
  return exchange_.pack_reverse(n, first, buf);
}

void PairMLFF::unpack_reverse_comm(int n, int *list, double *buf)
{
  exchange_.unpack_reverse(n, list, buf);
}

/// What to say about atoms that are much closer than any in the training data, or nothing; warns of those a bit closer.
std::string PairMLFF::too_close()
{
  const double known = artifact_.shortest_distance, shortest = std::sqrt(neighborhood_->shortest_squared);
  if (shortest >= known) return {};
  if (shortest < artifact_.overlap_distance())
    return fmt::format("two atoms are {:.3f} A apart at step {}, but the shortest distance in the training data of '{}' "
                       "is {:.3f} A: mend the starting structure or use a shorter timestep", shortest,
                       update->ntimestep, artifact_.path, known);
  if (warned_of_distance_) return {};
  warned_of_distance_ = true;
  error->warning(FLERR, "two atoms are {:.3f} A apart at step {}, closer than any in the training data of '{}' ({:.3f} A): "
                 "the model extrapolates", shortest, update->ntimestep, artifact_.path, known);
  return {};
}

double PairMLFF::memory_usage()
{
  double bytes = Pair::memory_usage();
  bytes += exchange_.bytes() + double(owner_.capacity()) * sizeof(int);
  bytes += double(atomic_energy_.capacity() + edge_grad_.capacity()) * sizeof(double);
  if (neighborhood_) {
    const metalff::Graph &g = neighborhood_->graph;
    bytes += double(g.edge_vec.capacity()) * sizeof(double) + double(g.neighbor.capacity()) * sizeof(int32_t);
  }
  return bytes;
}
