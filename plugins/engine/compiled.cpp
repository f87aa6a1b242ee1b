#include "compiled.h"

#include "cache.h"
#include "error.h"
#include "sha256.h"
#include "torch_library.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

extern char **environ;

namespace fs = std::filesystem;

namespace metalff {
namespace {

/// Model name and feature flags of the first processor: what `-march=native` stands for.
std::string processor()
{
  std::ifstream info("/proc/cpuinfo");
  std::string line, text;
  for (int found = 0; found < 2 && std::getline(info, line);)
    if (line.starts_with("model name") || line.starts_with("flags") || line.starts_with("Features"))
      text += line, ++found;
  return text;
}

/// The Python that MetalFF is installed in: $METALFF_PYTHON, or the one above this very library, or python3.
std::string python()
{
  if (const char *exe = std::getenv("METALFF_PYTHON")) return exe;
  Dl_info self;
  if (dladdr(reinterpret_cast<void *>(&cache_key), &self) && self.dli_fname)
    for (fs::path dir = fs::absolute(self.dli_fname).parent_path(); dir.has_relative_path(); dir = dir.parent_path())
      if (fs::exists(dir / "bin" / "python3")) return (dir / "bin" / "python3").string();
  return "python3";
}

/// Runs a command with one of its streams as a pipe, and gives `take` every line of that. Returns the exit status as waitpid has it.
template <typename Take> int run(std::vector<std::string> words, int stream, Take &&take)
{
  std::vector<char *> argv;
  for (auto &word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Error("no pipe to a subprocess can be opened: close some files");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], stream);
  pid_t child;
  const int refused = posix_spawnp(&child, words[0].c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (refused) {
    close(ends[0]);
    throw Error("cannot start '" + words[0] + "': set METALFF_PYTHON to the Python that MetalFF is installed in");
  }
  FILE *file = fdopen(ends[0], "r");
  char *line = nullptr;
  std::size_t capacity = 0;
  for (ssize_t n; (n = getline(&line, &capacity, file)) > 0;) take(std::string(line, line[n - 1] == '\n' ? n - 1 : n));
  std::free(line);
  std::fclose(file);
  int status = 0;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
  return status;
}

/// Runs a command; its standard error passes through, except that the sentence of the line "metalff: error: …" is
/// returned. Empty: the command succeeded.
std::string failure_of(const std::vector<std::string> &words)
{
  const std::string mark = "metalff: error: ";
  std::string sentence;
  const int status = run(words, STDERR_FILENO, [&](const std::string &line) {
    if (line.starts_with(mark))
      sentence = line.substr(mark.size());
    else
      std::fprintf(stderr, "%s\n", line.c_str());
  });
  if (status == 0) return {};
  return sentence.empty() ? "'" + words[0] + "' stopped without a result" : sentence;
}

}    // namespace

std::string python_says(const std::string &script)
{
  std::string said;
  const int status = run({python(), "-c", script}, STDOUT_FILENO, [&](const std::string &line) { said += line + "\n"; });
  return status == 0 ? said : "";
}

std::string payload_name(const Artifact &artifact, const Options &options)
{
  const std::string name = options.single ? "torch/float32.zip" : "torch/float64.zip";
  if (!artifact.payloads.count(name))
    throw Error("'" + artifact.path + "' has no payload for precision " + (options.single ? "single" : "double") +
                ": choose the other precision, or deploy the model again");
  return name;
}

std::string cache_key(const Artifact &artifact, const Options &options)
{
  const std::string kind = options.device.substr(0, options.device.find(':'));
  const std::string text = artifact.payloads.at(payload_name(artifact, options)).sha256 + "|" + Torch::installed().version + "|" +
      processor() + "|" + kind + "|recipe 4";
  return sha256(text.data(), text.size()).substr(0, 24);
}

std::string cached_programs(const Artifact &artifact, const Options &options)
{
  const fs::path entry = cache_dir() / "compiled" / cache_key(artifact, options);
  if (!in_cache(entry / "ready")) return {};    // written last, after the self-test passed
  for (const auto &file : fs::directory_iterator(entry)) in_cache(file.path());
  return entry.string();
}

std::string compiled_programs(const Artifact &artifact, const Options &options)
{
  if (const std::string entry = cached_programs(artifact, options); !entry.empty()) return entry;
  const std::string failure = failure_of({python(), "-m", "metalff.compiled", artifact.path, "--precision",
                                          options.single ? "single" : "double", "--device", options.device});
  if (!failure.empty()) throw Error(failure);
  const std::string entry = cached_programs(artifact, options);
  if (entry.empty())
    throw Error("'" + artifact.path + "' was compiled, but not into " + (cache_dir() / "compiled").string() +
                ": METALFF_PYTHON names the Python of another MetalFF; unset it");
  return entry;
}

}    // namespace metalff
