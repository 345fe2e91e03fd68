// The Hessian of a linear's squared output error: H = sum over tokens of x x^T (the factor 2 of the literature
// cancels).
#pragma once

#include <cstdint>

#include "base/matrix.h"

namespace hesse {

struct Hessian {
  Matrix<double> sum;  // [in, in] lower triangle only until finish() has mirrored it
  int64_t tokens = 0;

  explicit Hessian(int64_t in) : sum(Matrix<double>::zeros(in, in)) {}
  int64_t in() const { return sum.rows(); }
  void add(MatrixView<const float> x);  // x [tokens, in]
  void finish();                        // makes `sum` symmetric; call once, after the last add
};

}  // namespace hesse
