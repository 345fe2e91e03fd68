// Hessians and weights that have broken quantizers, by name.
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "quant/solver_testing.h"

namespace hesse {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

inline Hessian from_inputs(Rng& rng, int64_t tokens, int64_t in, double spread) {
  return hessian_of(normal_matrix(rng, tokens, in, spread).view());
}

// Inputs of rank `rank`.
inline Hessian of_rank(Rng& rng, int64_t rank, int64_t tokens, int64_t in) {
  const Matrix<float> a = normal_matrix(rng, tokens, rank);
  const Matrix<float> b = normal_matrix(rng, rank, in);
  Matrix<float> x = Matrix<float>::zeros(tokens, in);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t k = 0; k < rank; ++k) {
      for (int64_t i = 0; i < in; ++i) x(t, i) += a(t, k) * b(k, i);
    }
  }
  return hessian_of(x.view());
}

inline Hessian all_channels_equal(Rng& rng) {
  Matrix<float> x = normal_matrix(rng, 100, 40);
  for (int64_t t = 0; t < x.rows(); ++t) std::fill_n(x.row(t), x.cols(), x(t, 0));
  return hessian_of(x.view());
}

inline Hessian one_huge_channel(Rng& rng) {
  Matrix<float> x = normal_matrix(rng, 100, 40);
  for (int64_t t = 0; t < x.rows(); ++t) x(t, 17) *= 1e6f;
  return hessian_of(x.view());
}

inline void mix_magnitudes(Rng& rng, Matrix<float>& x) {
  for (int64_t i = 0; i < x.cols(); ++i) {
    const float factor = static_cast<float>(std::pow(10.0, 40 * rng.uniform() - 20));
    for (int64_t t = 0; t < x.rows(); ++t) x(t, i) *= factor;
  }
}

inline Hessian channels_of_all_magnitudes(Rng& rng) {
  Matrix<float> x = normal_matrix(rng, 100, 40);
  mix_magnitudes(rng, x);
  return hessian_of(x.view());
}

inline Hessian every_channel_twice(Rng& rng) {
  Matrix<float> x = normal_matrix(rng, 100, 40);
  for (int64_t t = 0; t < x.rows(); ++t) {
    for (int64_t i = 0; i < x.cols(); i += 2) x(t, i + 1) = x(t, i);
  }
  return hessian_of(x.view());
}

inline Hessian mostly_dead(Rng& rng) {
  Matrix<float> x = Matrix<float>::zeros(100, 40);
  for (int64_t t = 0; t < x.rows(); ++t) x(t, 39) = static_cast<float>(rng.normal());
  return hessian_of(x.view());
}

// What rounding may leave of a singular Gram matrix, and worse.
inline Hessian singular_minus(Rng& rng, double share) {
  Hessian h = of_rank(rng, 3, 50, 40);
  double mean = 0;
  for (int64_t i = 0; i < h.in(); ++i) mean += h.sum(i, i) / static_cast<double>(h.in());
  for (int64_t i = 0; i < h.in(); ++i) h.sum(i, i) -= share * mean;
  return h;
}

// A negative diagonal, or off-diagonal elements that no damping outweighs.
inline Hessian negative_diagonal(Rng& rng) {
  Hessian h = from_inputs(rng, 50, 20, 1.0);
  for (int64_t i = 0; i < h.in(); ++i) h.sum(i, i) = -h.sum(i, i);
  return h;
}

inline Hessian far_from_definite(Rng& rng, double factor) {
  Hessian h = from_inputs(rng, 50, 20, 1.0);
  for (int64_t i = 0; i < h.in(); ++i) {
    for (int64_t j = 0; j < i; ++j) h.sum(i, j) = h.sum(j, i) = factor * h.sum(i, j);
  }
  return h;
}

inline Hessian with_value(Rng& rng, int64_t row, int64_t column, double value) {
  Hessian h = from_inputs(rng, 60, 40, 1.0);
  h.sum(row, column) = h.sum(column, row) = value;
  return h;
}

struct HessianCase {
  std::string_view name;
  Hessian (*make)(Rng& rng);
  bool finite = true;
};

inline const std::vector<HessianCase> kHessianCases = {
    {"rank 1", [](Rng& rng) { return of_rank(rng, 1, 50, 40); }},
    {"rank 32 of 512", [](Rng& rng) { return of_rank(rng, 32, 600, 512); }},
    {"all channels equal", all_channels_equal},
    {"one channel 1e6 larger", one_huge_channel},
    {"inputs of 1e-20", [](Rng& rng) { return from_inputs(rng, 100, 40, 1e-20); }},
    {"inputs of 1e-10", [](Rng& rng) { return from_inputs(rng, 100, 40, 1e-10); }},
    {"inputs of 1e10", [](Rng& rng) { return from_inputs(rng, 100, 40, 1e10); }},
    {"inputs of 1e20", [](Rng& rng) { return from_inputs(rng, 100, 40, 1e20); }},
    {"subnormal inputs", [](Rng& rng) { return from_inputs(rng, 100, 40, 1e-41); }},
    {"largest inputs", [](Rng& rng) { return from_inputs(rng, 100, 40, 5e37); }},
    {"channels of all magnitudes", channels_of_all_magnitudes},
    {"every channel twice", every_channel_twice},
    {"one live channel", mostly_dead},
    {"zeros", [](Rng&) { return Hessian(40); }},
    {"one token", [](Rng& rng) { return from_inputs(rng, 1, 40, 1.0); }},
    {"width 1", [](Rng& rng) { return from_inputs(rng, 9, 1, 1.0); }},
    {"width 2, one token", [](Rng& rng) { return from_inputs(rng, 1, 2, 1.0); }},
    {"width 2", [](Rng& rng) { return from_inputs(rng, 9, 2, 1.0); }},
    {"singular, minus 1e-15", [](Rng& rng) { return singular_minus(rng, 1e-15); }},
    {"singular, minus 1e-9", [](Rng& rng) { return singular_minus(rng, 1e-9); }},
    {"singular, minus 0.05", [](Rng& rng) { return singular_minus(rng, 0.05); }},
    {"negative diagonal", negative_diagonal},
    {"off-diagonal times 5", [](Rng& rng) { return far_from_definite(rng, 5); }},
    {"off-diagonal times 1e5", [](Rng& rng) { return far_from_definite(rng, 1e5); }},
    {"off-diagonal times 1e25", [](Rng& rng) { return far_from_definite(rng, 1e25); }},
    {"NaN at the start", [](Rng& rng) { return with_value(rng, 0, 0, kNotANumber); }, false},
    {"NaN at the end", [](Rng& rng) { return with_value(rng, 39, 39, kNotANumber); }, false},
    {"NaN off the diagonal", [](Rng& rng) { return with_value(rng, 31, 7, kNotANumber); }, false},
    {"infinity on the diagonal", [](Rng& rng) { return with_value(rng, 20, 20, kInfinity); }, false},
    {"-infinity off the diagonal", [](Rng& rng) { return with_value(rng, 0, 39, -kInfinity); }, false},
};

using WeightMaker = Matrix<float> (*)(Rng& rng, int64_t out, int64_t in);
struct WeightCase {
  std::string_view name;
  WeightMaker make;
};

inline Matrix<float> with_outlier(Rng& rng, int64_t out, int64_t in) {
  Matrix<float> w = normal_matrix(rng, out, in, 0.02);
  w(out / 2, in / 2) = -3e4f;
  return w;
}

inline Matrix<float> with_zero_rows(Rng& rng, int64_t out, int64_t in) {
  Matrix<float> w = normal_matrix(rng, out, in, 0.02);
  for (int64_t row = 0; row < out; row += 2) std::fill_n(w.row(row), in, 0.0f);
  return w;
}

inline Matrix<float> of_one_sign(Rng& rng, int64_t out, int64_t in) {
  Matrix<float> w = normal_matrix(rng, out, in, 0.02);
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t i = 0; i < in; ++i) w(row, i) = std::copysign(w(row, i), row % 2 == 0 ? 1.0f : -1.0f);
  }
  return w;
}

inline const std::vector<WeightCase> kWeightCases = {
    {"ordinary", [](Rng& rng, int64_t out, int64_t in) { return normal_matrix(rng, out, in, 0.02); }},
    {"zeros", [](Rng&, int64_t out, int64_t in) { return Matrix<float>::zeros(out, in); }},
    {"zero rows", with_zero_rows},
    {"one sign", of_one_sign},
    {"one outlier", with_outlier},
    {"subnormal", [](Rng& rng, int64_t out, int64_t in) { return normal_matrix(rng, out, in, 1e-41); }},
    {"1e-30", [](Rng& rng, int64_t out, int64_t in) { return normal_matrix(rng, out, in, 1e-30); }},
    {"6e4", [](Rng& rng, int64_t out, int64_t in) { return normal_matrix(rng, out, in, 6e4); }},
    {"1e30", [](Rng& rng, int64_t out, int64_t in) { return normal_matrix(rng, out, in, 1e30); }},
    {"largest", [](Rng& rng, int64_t out, int64_t in) { return normal_matrix(rng, out, in, 5e37); }},
};

}  // namespace hesse
