// The instruction sets that the native engine is compiled for.
#pragma once

#include <cstdlib>
#include <cstring>

namespace metalff::native {

/// x86-64-v4 (AVX-512), x86-64-v3 (AVX2) or base; the environment variable METALFF_ISA names a lesser one to use.
inline const char *instruction_set()
{
#ifdef __x86_64__
  const char *wanted = std::getenv("METALFF_ISA");
  auto allowed = [&](const char *name, const char *lesser) {
    return !wanted || (std::strcmp(wanted, "base") != 0 && (std::strcmp(wanted, name) == 0 || std::strcmp(wanted, lesser) != 0));
  };
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (v4 && allowed("x86-64-v4", "x86-64-v3")) return "x86-64-v4";
  if (v3 && allowed("x86-64-v3", "base")) return "x86-64-v3";
#endif
  return "base";
}

}    // namespace metalff::native
