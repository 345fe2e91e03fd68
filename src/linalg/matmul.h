// One product through oneDNN's matmul primitive, which takes types and steps that dnnl_sgemm does not know.
#pragma once

#include <compare>
#include <cstdint>

#include "base/compute_matrix.h"

namespace hesse {

// c[m, n] = a[m, k] * b[k, n], or c += with `add`; c is float32. Steps are in elements, from one row to the next and
// from one column to the next; one of both is 1.
struct MatmulShape {
  ComputeType type = ComputeType::kF32;  // of a and b
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t a_row = 0, a_col = 0;
  int64_t b_row = 0, b_col = 0;
  int64_t c_row = 0;  // c_col is 1
  bool add = false;

  auto operator<=>(const MatmulShape&) const = default;
};

// False, and nothing done, when oneDNN has no such product for this processor: bfloat16 on most. Primitives are kept
// for the calling thread, by their shape.
bool matmul(const MatmulShape& shape, const void* a, const void* b, float* c);

}  // namespace hesse
