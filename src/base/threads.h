// The one pool of threads: OpenMP's, shared with oneDNN and OpenBLAS.
#pragma once

#include <cstdint>
#include <functional>

namespace hesse {

// Processors this process may use: affinity mask and cgroup quota, whichever is less. At least 1.
int available_threads();

// Sets the size of the pool for this and all later calls of the calling thread; 0 means available_threads().
void set_threads(int count);
int threads();

// Calls body(i) for every i in [0, count), in any order and on any thread, and returns when all are done.
// The first exception thrown by a body is rethrown here. Nested calls run on the calling thread.
void parallel_for(int64_t count, const std::function<void(int64_t)>& body);

}  // namespace hesse
