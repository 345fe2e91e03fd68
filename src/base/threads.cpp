#include "base/threads.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <fstream>
#include <string>

namespace hesse {
namespace {

// cgroup v2 quota of this process in processors, rounded up; 0 when there is none.
int cgroup_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  const double cpus = std::strtod(quota.c_str(), nullptr) / period;
  return std::max(1, static_cast<int>(cpus + 0.999));
}

}  // namespace

int available_threads() {
  // The affinity mask at the start of the process; later OMP_PROC_BIND may have tied this thread to one processor.
  const int count = omp_get_num_procs();
  const int quota = cgroup_quota();
  return std::max(1, quota > 0 ? std::min(count, quota) : count);
}

void set_threads(int count) { omp_set_num_threads(count > 0 ? count : available_threads()); }

int threads() { return omp_get_max_threads(); }

void parallel_for(int64_t count, const std::function<void(int64_t)>& body) {
  if (count <= 1 || omp_in_parallel() != 0) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t i = 0; i < count; ++i) {
    if (failed.load(std::memory_order_relaxed)) continue;
    try {
      body(i);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace hesse
