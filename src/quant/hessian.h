// The Hessian of a linear's squared output error: H = sum over tokens of x x^T (the factor 2 of the literature
// cancels).
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"

namespace hesse {

// max |x| of each row; infinity for a row with a value that is not finite.
std::vector<float> row_peaks(MatrixView<const float> x);

struct Hessian {
  Matrix<double> sum;  // [in, in] lower triangle only until finish() has mirrored it
  int64_t tokens = 0;

  explicit Hessian(int64_t in) : sum(Matrix<double>::zeros(in, in)) {}
  int64_t in() const { return sum.rows(); }
  // x [tokens, in], finite. Any magnitude: where float32 products might overflow or vanish they are made in float64.
  void add(MatrixView<const float> x);
  void add(const Hessian& other);  // both finished, or neither
  void finish();                   // makes `sum` symmetric; call once, after the last add
};

}  // namespace hesse
