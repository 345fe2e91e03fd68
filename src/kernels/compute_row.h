// Rows of compute matrices as the kernels see them: float32. `scratch` has room for one row and belongs to one thread;
// it stays in cache, so that a conversion is no further pass over memory. A float32 matrix needs none.
#pragma once

#include <algorithm>

#include "base/compute_matrix.h"
#include "kernels/kernels.h"

namespace hesse {

// Row r of m: itself, or its values in scratch.
inline const float* read_row(ConstComputeView m, int64_t r, float* scratch) {
  if (m.type == ComputeType::kF32) return m.f32().row(r);
  bf16_to_f32(m.bf16().row(r), scratch, m.cols);
  return scratch;
}

// Where row r of m is to be computed; store_row() then puts it there.
inline float* row_to_fill(ComputeView m, int64_t r, float* scratch) {
  return (m.type == ComputeType::kF32) ? m.f32().row(r) : scratch;
}

// Row r of m becomes values[m.cols], which may be the row itself.
inline void store_row(const float* values, ComputeView m, int64_t r) {
  if (m.type == ComputeType::kBF16) {
    f32_to_bf16(values, m.bf16().row(r), m.cols);
  } else if (values != m.f32().row(r)) {
    std::copy_n(values, m.cols, m.f32().row(r));
  }
}

}  // namespace hesse
