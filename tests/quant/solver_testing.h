// What the tests of the solver share: random data, and what a solution is worth, in plain loops.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/rng.h"
#include "quant/grid.h"
#include "quant/hessian.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

// --gtest_random_seed=N gives another one; every random test prints what it used when it fails.
inline uint64_t test_seed() { return 20240229u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed)); }
#define HESSE_PRINT_SEED() SCOPED_TRACE("seed " + std::to_string(test_seed()))

constexpr double kUnitDouble = 0x1p-53;  // one rounding in float64 is at most this, relative

inline Matrix<float> normal_matrix(Rng& rng, int64_t rows, int64_t cols, double spread = 1.0) {
  Matrix<float> m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(spread * rng.normal());
  return m;
}

// Neighbours correlated, scales that differ by channel: as activations have them.
inline Matrix<float> correlated_inputs(Rng& rng, int64_t tokens, int64_t in) {
  Matrix<float> x = normal_matrix(rng, tokens, in);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 1; i < in; ++i) x(t, i) = 0.6f * x(t, i - 1) + x(t, i) * (1.0f + static_cast<float>(i % 7));
  }
  return x;
}

// All of H, what stands above its diagonal too.
inline Matrix<double> whole(const SymmetricView& h) {
  const int64_t n = h.lower.rows;
  Matrix<double> all(n, n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) all(i, j) = h(i, j);
  }
  return all;
}

// Both triangles are filled, so that a test may change either.
inline Hessian hessian_of(MatrixView<const float> x) {
  Hessian h(x.cols);
  h.add(x);
  h.sum = whole(view_of(h));
  return h;
}

// A quadratic form and the sum of the magnitudes of its terms, which bounds the rounding of any way to compute it.
struct Quadratic {
  long double value = 0;
  long double magnitude = 0;
};

// e (H + lambda I) e^T.
inline Quadratic quadratic(const std::vector<double>& e, const Matrix<double>& h, double lambda = 0) {
  Quadratic sum;
  for (int64_t i = 0; i < h.rows(); ++i) {
    for (int64_t j = 0; j < h.cols(); ++j) {
      const long double element = static_cast<long double>(h(i, j)) + (i == j ? lambda : 0.0);
      const long double term = element * e[static_cast<size_t>(i)] * e[static_cast<size_t>(j)];
      sum.value += term;
      sum.magnitude += std::fabs(term);
    }
  }
  return sum;
}

// W - Q of one row. The product of scale and steps is exact in float64.
inline std::vector<double> row_error(const Matrix<float>& weight, const QuantizedLinear& linear, int64_t row) {
  std::vector<double> e(static_cast<size_t>(weight.cols()));
  for (int64_t i = 0; i < weight.cols(); ++i) {
    const int64_t g = i / linear.spec.group_width(weight.cols());
    const int steps = linear.codes(row, i) - linear.zeros(g, row);
    e[static_cast<size_t>(i)] = double{weight(row, i)} - double{linear.scales(g, row)} * steps;
  }
  return e;
}

inline Quadratic row_loss(const Matrix<float>& weight, const QuantizedLinear& linear, int64_t row,
                          const Matrix<double>& h, double lambda = 0) {
  return quadratic(row_error(weight, linear, row), h, lambda);
}

inline Quadratic loss_of(const Matrix<float>& weight, const QuantizedLinear& linear, const Matrix<double>& h) {
  Quadratic sum;
  for (int64_t row = 0; row < weight.rows(); ++row) {
    const Quadratic one = row_loss(weight, linear, row, h);
    sum.value += one.value;
    sum.magnitude += one.magnitude;
  }
  return sum;
}

// What every reader of the file may rely on.
inline testing::AssertionResult is_storable(const QuantizedLinear& linear, const LinearSpec& spec, int64_t out,
                                            int64_t in) {
  const auto fail = [](const std::string& what) { return testing::AssertionFailure() << what; };
  if (linear.out() != out || linear.in() != in) return fail("codes have another shape");
  if (linear.group_of != contiguous_groups(in, spec.group_width(in))) return fail("groups are not contiguous");
  for (const auto& [rows, cols] :
       {std::pair(linear.scales.rows(), linear.scales.cols()), std::pair(linear.zeros.rows(), linear.zeros.cols())}) {
    if (rows != spec.groups(in) || cols != out) return fail("scales or zero points have another shape");
  }
  for (int64_t i = 0; i < linear.codes.size(); ++i) {
    if (linear.codes.data()[i] > spec.max_code()) return fail("code " + std::to_string(linear.codes.data()[i]));
  }
  for (int64_t i = 0; i < linear.scales.size(); ++i) {
    const float scale = linear.scales.data()[i];
    const int zero = linear.zeros.data()[i];
    const bool half = std::isfinite(scale) && f16_to_float(float_to_f16(scale)) == scale;
    if (!half || !(std::fabs(scale) >= 0.99f * kSmallestScale)) return fail("scale " + std::to_string(scale));
    if (zero < 1 || zero > spec.max_code()) return fail("zero point " + std::to_string(zero));
    if (spec.symmetric && zero != spec.symmetric_zero()) return fail("symmetric zero point " + std::to_string(zero));
  }
  return testing::AssertionSuccess();
}

}  // namespace hesse
