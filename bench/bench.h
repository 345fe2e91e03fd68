// What the benchmark programs share: no debug builds, random matrices, and rates that are counted in one way.
#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "base/matrix.h"
#include "base/rng.h"
#include "base/threads.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"

#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#error "numbers of a debug or sanitizer build mean nothing: cmake --preset bench"
#endif

namespace hesse {

// Standard normal; each row has a generator of its own, so that wide matrices are made by all threads.
inline Matrix<float> random_matrix(int64_t rows, int64_t cols, uint64_t seed = 1) {
  Matrix<float> m(rows, cols);
  parallel_for(rows, [&](int64_t r) {
    Rng rng(seed * 1000003 + static_cast<uint64_t>(r));
    for (int64_t c = 0; c < cols; ++c) m(r, c) = static_cast<float>(rng.normal());
  });
  return m;
}

// Threads of the pool work, so wall time counts. `flops` are those of one iteration.
inline void report_flops(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

// For what all threads work on: rates by the wall, and beside them the CPU time of the whole process.
inline void all_threads(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime();
}

// Threads need a while to find their processors; no benchmark shall pay for that.
inline void warm_up() {
  const Matrix<float> a = random_matrix(512, 512), b = random_matrix(512, 512);
  Matrix<float> c(512, 512);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  while (std::chrono::steady_clock::now() < end) gemm_nt(a.view(), b.view(), c.view(), Output::kSet);
}

// The main program, for benchmarks that use all threads this process may use.
inline int run_benchmarks(int argc, char** argv) {
  set_threads(0);
  benchmark::AddCustomContext("threads", std::to_string(threads()));
  benchmark::AddCustomContext("simd", simd_target());
  benchmark::AddCustomContext("libraries", onednn_version() + ", " + lapack_version());
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  warm_up();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace hesse
