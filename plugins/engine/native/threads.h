// Work shared by the threads of one evaluation.
#pragma once

#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace metalff {

/// Calls work(item, thread) for each of `count` items, on `threads` threads; throws the first failure after all have ended. Which thread has
/// which items is fixed, so that sums of a thread's items are the same in every run.
template <typename Work> void share(int count, int threads, Work &&work)
{
  if (threads == 1) {
    for (int item = 0; item < count; ++item) work(item, 0);
    return;
  }
  std::vector<std::exception_ptr> failures(threads);
  auto run = [&](int thread) {
    const int begin = int(std::int64_t(count) * thread / threads), end = int(std::int64_t(count) * (thread + 1) / threads);
    try {
      for (int item = begin; item < end; ++item) work(item, thread);
    } catch (...) {
      failures[thread] = std::current_exception();
    }
  };
  std::vector<std::jthread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
  others.clear();
  for (const auto &failure : failures)
    if (failure) std::rethrow_exception(failure);
}

}    // namespace metalff
