// A LAMMPS holds those functions of Kokkos' library that its own styles call. These, of policies with scratch memory, are not among them in a
// small build, so this library brings its own, which nothing outside sees.
#include <Kokkos_Core.hpp>

#include <cstddef>

namespace Kokkos {
namespace Impl {

PerTeamValue::PerTeamValue(std::size_t arg) : value(arg) {}
PerThreadValue::PerThreadValue(std::size_t arg) : value(arg) {}

}    // namespace Impl

Impl::PerTeamValue PerTeam(const std::size_t &arg) { return Impl::PerTeamValue(arg); }
Impl::PerThreadValue PerThread(const std::size_t &arg) { return Impl::PerThreadValue(arg); }
void team_policy_check_valid_storage_level_argument(int level)
{
  if (level != 0 && level != 1) abort("TeamPolicy::set_scratch_size: the level must be 0 or 1");
}

}    // namespace Kokkos
