#include "own_kokkos.h"

#include "card_kokkos.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <unistd.h>

namespace metalff {
namespace {

/// Never destroyed: models may be, after everything else.
struct State {
  std::mutex mutex;                       // of what follows
  std::set<Resident *> residents;
  std::string device;                     // empty: not started
  pid_t process = 0;
  bool ended = false;

  std::mutex turn;
  std::atomic<bool> computing = false;
};

State &state()
{
  static State *const only = new State;
  return *only;
}

/// Runs before what the libraries below (Kokkos, CUDA) do at the exit, because it was registered after it.
void end()
{
  State &s = state();
  if (s.computing || getpid() != s.process) return;    // the program exits out of an evaluation, or is a child that never started Kokkos
  const std::lock_guard<std::mutex> lock(s.mutex);
  s.ended = true;
  try {
    for (Resident *resident : s.residents) resident->leave();
    s.residents.clear();
    Kokkos::finalize();
  } catch (const std::exception &) {
    // a card that has failed fails here, too; its user has been told
  }
}

#ifdef KOKKOS_ENABLE_CUDA
/// N of "cuda:N"; of one too long a number that no machine has.
int card_number(const std::string &device)
{
  return int(std::min(std::strtol(device.c_str() + device.find(':') + 1, nullptr, 10), 1000000L));
}
#endif

}    // namespace

std::string OwnKokkos::describe([[maybe_unused]] const std::string &device)
{
#ifdef KOKKOS_ENABLE_CUDA
  return describe_card(card_number(device), METALFF_COMPUTE);
#else
  return Kokkos::DefaultExecutionSpace::name();
#endif
}

void OwnKokkos::start(const Options &options)
{
  State &s = state();
  const std::lock_guard<std::mutex> lock(s.mutex);
  if (s.ended) throw Error("the program is ending: no model can be opened on " + options.device + " any more");
  if (!s.device.empty()) {
    if (s.device != options.device)
      throw Error("this process computes on " + s.device + " already, and so cannot on " + options.device + ": give all its models one device");
    return;
  }
  describe(options.device);
  Kokkos::InitializationSettings settings;
  settings.set_disable_warnings(true);
#ifdef KOKKOS_ENABLE_CUDA
  settings.set_device_id(card_number(options.device));
#else
  settings.set_num_threads(options.threads);
#endif
  Kokkos::initialize(settings);
  s.device = options.device;
  s.process = getpid();
  std::atexit(end);
}

void OwnKokkos::enter(Resident *resident)
{
  const std::lock_guard<std::mutex> lock(state().mutex);
  state().residents.insert(resident);
}

void OwnKokkos::leave(Resident *resident)
{
  const std::lock_guard<std::mutex> lock(state().mutex);
  if (state().residents.erase(resident)) resident->leave();
}

OwnKokkos::Turn::Turn() : lock_(state().turn)
{
  if (state().ended) throw Error("the program is ending: nothing is evaluated any more");
  if (getpid() != state().process)
    throw Error("a process that was forked cannot use the " + state().device + " of its parent: open the model in the new process, and in none before");
  state().computing = true;
}

OwnKokkos::Turn::~Turn()
{
  state().computing = false;
}

}    // namespace metalff
