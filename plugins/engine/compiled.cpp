#include "compiled.h"

#include "error.h"
#include "sha256.h"

#include <torch/headeronly/version.h>

#include <dlfcn.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

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

fs::path cache_dir()
{
  if (const char *dir = std::getenv("METALFF_CACHE")) return dir;
  const char *xdg = std::getenv("XDG_CACHE_HOME");
  if (xdg && *xdg) return fs::path(xdg) / "metalff";
  const char *home = std::getenv("HOME");
  if (!home) throw Error("neither METALFF_CACHE nor HOME is set: set METALFF_CACHE to a directory for compiled models");
  return fs::path(home) / ".cache" / "metalff";
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

}    // namespace

std::string payload_name(const Artifact &artifact, const Options &options)
{
  const std::string name = options.single ? "torch/float32.pt2" : "torch/float64.pt2";
  if (!artifact.payload_sha256.count(name))
    throw Error("'" + artifact.path + "' has no payload for precision " + (options.single ? "single" : "double") +
                ": choose the other precision, or deploy the model again");
  return name;
}

std::string cache_key(const Artifact &artifact, const Options &options)
{
  const std::string kind = options.device.substr(0, options.device.find(':'));
  const std::string text = artifact.payload_sha256.at(payload_name(artifact, options)) + "|" + TORCH_VERSION + "|" +
      processor() + "|" + kind + "|recipe 1";
  return sha256(text.data(), text.size()).substr(0, 24);
}

std::string compiled_library(const Artifact &artifact, const Options &options)
{
  const fs::path entry = cache_dir() / "compiled" / cache_key(artifact, options);
  // "ready" is written last, after the self-test passed
  if (fs::exists(entry / "ready")) return (entry / "model.so").string();

  const std::string exe = python();
  std::vector<std::string> words = {exe,         "-m",           "metalff.compiled", artifact.path, "--precision",
                                    options.single ? "single" : "double", "--device", options.device};
  std::vector<char *> argv;
  for (auto &word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child;
  if (posix_spawnp(&child, exe.c_str(), nullptr, nullptr, argv.data(), environ) != 0)
    throw Error("cannot start '" + exe + "' to compile '" + artifact.path + "': set METALFF_PYTHON to the Python that "
                "MetalFF is installed in");
  int status = 0;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {}
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !fs::exists(entry / "ready"))
    throw Error("'" + artifact.path + "' could not be compiled for this machine: see the message above, or run "
                "'metalff check " + artifact.path + "'");
  return (entry / "model.so").string();
}

}    // namespace metalff
