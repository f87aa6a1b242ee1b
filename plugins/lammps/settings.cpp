#include "settings.h"

#include "comm.h"
#include "error.h"
#include "utils.h"

#include <algorithm>
#include <cctype>
#include <numeric>

using namespace LAMMPS_NS;

/// Number of characters to insert, delete or replace to get from one word to the other; capitals do not count.
static std::size_t edits(const std::string &from, const std::string &to)
{
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (lower(from[i - 1]) != lower(to[j - 1]));
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

Settings Settings::of(const std::vector<std::string> &words, const Units &units, LAMMPS *lmp)
{
  using Action = Extrapolation::Action;
  Settings settings;
  static const std::vector<std::string> keywords = {"engine",    "precision", "spline",    "device",    "threads",   "chunk",      "ghosts",
                                                    "extrapolation", "ensemble", "deviation", "stop_above", "kernels"};
  auto is_keyword = [&](const std::string &word) {
    return std::find(keywords.begin(), keywords.end(), word) != keywords.end();
  };
  for (std::size_t k = 0; k < words.size();) {
    const std::string key = words[k++];
    if (!is_keyword(key)) {
      std::string list;
      for (const auto &word : keywords) list += (list.empty() ? "" : ", ") + word;
      lmp->error->all(FLERR, "unknown keyword '{}' of pair_style mlff{}: valid are {}", key, hint(key, keywords), list);
    }
    auto value = [&]() -> std::string {
      if (k == words.size())
        lmp->error->all(FLERR, "keyword '{}' of pair_style mlff needs {}", key,
                        key == "deviation" ? "a number of steps and a file" : "a value");
      return words[k++];
    };
    auto one_of = [&](const std::vector<std::string> &valid) {
      const std::string word = value();
      if (std::find(valid.begin(), valid.end(), word) != valid.end()) return word;
      std::string list = valid[0];
      for (std::size_t v = 1; v < valid.size(); ++v) list += (v + 1 < valid.size() ? ", " : " or ") + valid[v];
      lmp->error->all(FLERR, "{} of pair_style mlff must be {}, not '{}'", key, list, word);
      return word;
    };
    if (key == "precision") {
      settings.precision = one_of({"double", "single", "mixed"});
      settings.options.single = settings.precision != "double";
    } else if (key == "engine") {
      using Engine = metalff::Options::Engine;
      const std::string engine = one_of({"auto", "torch", "native"});
      settings.options.engine = engine == "auto" ? Engine::AUTO : engine == "torch" ? Engine::TORCH : Engine::NATIVE;
    } else if (key == "spline") {
      settings.options.knots = utils::inumeric(FLERR, value(), false, lmp);
      if (settings.options.knots < 0 || settings.options.knots == 1 || settings.options.knots > 1000000)
        lmp->error->all(FLERR, "spline of pair_style mlff must be 0 (exact radial functions) or a number of points from 2 to 1000000");
    } else if (key == "device") {
      const std::string device = value();
      if (device != "cpu" && device != "kokkos" && !utils::strmatch(device, "^cuda:\\d+$"))
        lmp->error->all(FLERR, "device of pair_style mlff must be cpu or cuda:N, not '{}'", device);
      settings.options.device = device;
    } else if (key == "threads") {
      settings.threads_given = true;
      settings.options.threads = utils::inumeric(FLERR, value(), false, lmp);
      if (settings.options.threads < 1) lmp->error->all(FLERR, "threads of pair_style mlff must be at least 1");
    } else if (key == "chunk") {
      const std::string atoms = value();
      settings.options.chunk = atoms == "auto" ? 0 : utils::inumeric(FLERR, atoms, false, lmp);
      if (settings.options.chunk < 1 && atoms != "auto")
        lmp->error->all(FLERR, "chunk of pair_style mlff must be auto or at least 1");
    } else if (key == "kernels") {
      const std::string kernels = one_of({"auto", "tiles", "device"});
      settings.kernels = kernels == "auto" ? Kernels::AUTO : kernels == "tiles" ? Kernels::TILES : Kernels::DEVICE;
    } else if (key == "ghosts") {
      settings.wide_ghosts = one_of({"exchange", "wide"}) == "wide";
    } else if (key == "extrapolation") {
      const std::string choice = one_of({"error", "warn", "ignore"});
      settings.extrapolation = choice == "error" ? Action::STOP : choice == "warn" ? Action::WARN : Action::IGNORE;
    } else if (key == "ensemble") {
      settings.mean = one_of({"first", "mean"}) == "mean";
    } else if (key == "deviation") {
      settings.every = utils::inumeric(FLERR, value(), false, lmp);
      if (settings.every < 1) lmp->error->all(FLERR, "deviation of pair_style mlff must be every 1 or more steps");
      settings.deviation_file = value();
    } else {
      settings.stop_above = utils::numeric(FLERR, value(), false, lmp);
      if (!(settings.stop_above > 0.0))
        lmp->error->all(FLERR, "stop_above of pair_style mlff must be a force above 0 {}", units.name_of_force);
      if (k < words.size() && !is_keyword(words[k])) settings.stop_restart = words[k++];
    }
  }
  return settings;
}

void LAMMPS_NS::write_words(FILE *file, const std::vector<std::string> &words)
{
  const int count = int(words.size());
  fwrite(&count, sizeof(int), 1, file);
  for (const std::string &word : words) {
    const int length = int(word.size());
    fwrite(&length, sizeof(int), 1, file);
    fwrite(word.data(), 1, length, file);
  }
}

std::vector<std::string> LAMMPS_NS::read_words(FILE *file, LAMMPS *lmp)
{
  const MPI_Comm world = lmp->world;
  const bool reads = lmp->comm->me == 0;
  auto number = [&] {
    int value = 0;
    if (reads) utils::sfread(FLERR, &value, sizeof(int), 1, file, nullptr, lmp->error);
    MPI_Bcast(&value, 1, MPI_INT, 0, world);
    return value;
  };
  std::vector<std::string> words(number());
  for (std::string &word : words) {
    word.resize(number());
    if (reads && !word.empty()) utils::sfread(FLERR, word.data(), 1, word.size(), file, nullptr, lmp->error);
    MPI_Bcast(word.data(), int(word.size()), MPI_CHAR, 0, world);
  }
  return words;
}
