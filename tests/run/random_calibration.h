// Calibration on streams made of random numbers.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

#include "base/rng.h"
#include "run/collect.h"

namespace hesse {

inline uint64_t test_seed() { return 20240229u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed)); }

inline Matrix<float> normal_matrix(Rng& rng, int64_t rows, int64_t cols) {
  Matrix<float> m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.normal());
  return m;
}

// A job of `count` windows and a stage of one linear; no model is needed for either.
struct Calibration {
  Job job;
  Block::Stage stage;
  Streams streams;

  Calibration(Rng& rng, int64_t count, int64_t length, int64_t in) {
    job.windows = Windows{Matrix<int32_t>::zeros(count, length), 0, {}};
    job.spec.group_size = 8;
    job.hessian_memory_bytes = int64_t{1} << 30;
    stage.linears.push_back({"linear", normal_matrix(rng, 6, in), {}});
    streams.quantized.x = normal_matrix(rng, count * length, in);
    streams.quantized.h = normal_matrix(rng, count * length, 6);
  }
  int64_t sample_of(int64_t token) const { return token / job.windows->length(); }
};

}  // namespace hesse
