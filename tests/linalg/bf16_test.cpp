// Products of bfloat16 matrices against float64 products of the same rounded numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "base/dtype.h"
#include "base/rng.h"
#include "hesse/error.h"
#include "linalg/factor.h"
#include "linalg/gemm.h"
#include "linalg/matmul.h"

namespace hesse {
namespace {

uint64_t test_seed() { return 20240229u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed)); }
#define HESSE_PRINT_SEED() SCOPED_TRACE("seed " + std::to_string(test_seed()))

constexpr double kUnit = 0x1p-24;  // of float32, where the sums are made
constexpr uint16_t kBf16NaN = 0x7FC0;

// A random matrix inside of a wider one whose other elements would spoil everything.
template <class T>
struct Framed {
  Matrix<T> frame;
  int64_t rows, cols;

  Framed(Rng& rng, int64_t r, int64_t c) : frame(r + 2, c + 5), rows(r), cols(c) {
    constexpr bool kBits = std::is_same_v<T, uint16_t>;
    for (int64_t i = 0; i < frame.size(); ++i) {
      if constexpr (kBits) frame.data()[i] = kBf16NaN;
      if constexpr (!kBits) frame.data()[i] = std::numeric_limits<T>::quiet_NaN();
    }
    for (int64_t i = 0; i < r; ++i) {
      for (int64_t j = 0; j < c; ++j) {
        const float value = static_cast<float>(rng.normal());
        if constexpr (kBits) view()(i, j) = float_to_bf16(value);
        if constexpr (!kBits) view()(i, j) = static_cast<T>(value);
      }
    }
  }
  MatrixView<T> view() { return frame.view().block(1, 3, rows, cols); }
  MatrixView<const T> view() const { return frame.view().block(1, 3, rows, cols); }
};

double value_of(uint16_t bits) { return bf16_to_float(bits); }
double value_of(float value) { return value; }

// What a sum of float32 may be off by: one rounding for each product and one for each addition, in any order.
struct Sum {
  double value = 0, size = 0;
  int64_t terms = 1;
  void add(double a, double b) { value += a * b, size += std::fabs(a * b), ++terms; }
  double tolerance() const { return static_cast<double>(terms) * kUnit * size; }
};

const std::vector<int64_t> kAwkward = {1, 2, 3, 63, 64, 65};

void check_gemm_nt(Rng& rng, int64_t m, int64_t n, int64_t k) {
  SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k);
  const Framed<uint16_t> a(rng, m, k), b(rng, n, k);
  Framed<float> set(rng, m, n), added(rng, m, n);
  const Matrix<float> before = added.frame.clone();
  gemm_nt(a.view(), b.view(), set.view(), Output::kSet);
  gemm_nt(a.view(), b.view(), added.view(), Output::kAdd);
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      Sum sum;
      for (int64_t i = 0; i < k; ++i) sum.add(value_of(a.view()(r, i)), value_of(b.view()(c, i)));
      ASSERT_NEAR(set.view()(r, c), sum.value, sum.tolerance());
      sum.add(before(r + 1, c + 3), 1);
      ASSERT_NEAR(added.view()(r, c), sum.value, sum.tolerance());
    }
  }
  for (int64_t i = 0; i < before.size(); ++i) ASSERT_EQ(std::isnan(before.data()[i]), std::isnan(set.frame.data()[i]));
}

TEST(Bf16, LinearEqualsTheProductOfItsRoundedInputs) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t m : kAwkward) {
    for (const int64_t n : kAwkward) {
      for (const int64_t k : kAwkward) ASSERT_NO_FATAL_FAILURE(check_gemm_nt(rng, m, n, k));
    }
  }
  // Across the edges of pieces.
  check_gemm_nt(rng, 513, 3, 7);
  check_gemm_nt(rng, 2, 1025, 5);
  check_gemm_nt(rng, 2, 3, 3000);
}

TEST(Bf16, NothingTimesNothing) {
  const Matrix<uint16_t> a(3, 0), b(2, 0);
  Matrix<float> c(3, 2);
  c(2, 1) = 7;
  gemm_nt(a.view(), b.view(), c.view(), Output::kAdd);
  EXPECT_EQ(c(2, 1), 7);
  gemm_nt(a.view(), b.view(), c.view(), Output::kSet);
  EXPECT_EQ(c(2, 1), 0);
  Matrix<double> h = Matrix<double>::zeros(2, 2);
  add_gram(Matrix<uint16_t>(0, 2).view(), h.view());
  EXPECT_EQ(h(1, 0), 0);
}

void check_gram(Rng& rng, int64_t tokens, int64_t n) {
  SCOPED_TRACE(testing::Message() << tokens << " tokens, " << n << " channels");
  const Framed<uint16_t> x(rng, tokens, n);
  Matrix<double> h(n, n);
  for (int64_t i = 0; i < h.size(); ++i) h.data()[i] = 0.5;
  add_gram(x.view(), h.view());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      Sum sum;
      for (int64_t t = 0; t < tokens; ++t) sum.add(value_of(x.view()(t, i)), value_of(x.view()(t, j)));
      ASSERT_NEAR(h(i, j), 0.5 + sum.value, sum.tolerance()) << i << ", " << j;
    }
  }
}

void check_product_tn(Rng& rng, int64_t tokens, int64_t m, int64_t n) {
  SCOPED_TRACE(testing::Message() << tokens << " tokens, " << m << " x " << n);
  const Framed<uint16_t> x(rng, tokens, m), y(rng, tokens, n);
  Matrix<double> c(m, n);
  for (int64_t i = 0; i < c.size(); ++i) c.data()[i] = -2;
  add_product_tn(x.view(), y.view(), c.view());
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      Sum sum;
      for (int64_t t = 0; t < tokens; ++t) sum.add(value_of(x.view()(t, i)), value_of(y.view()(t, j)));
      ASSERT_NEAR(c(i, j), sum.value - 2, sum.tolerance());
    }
  }
}

TEST(Bf16, GramAndCrossProductEqualSumsOfRoundedInputs) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t tokens : kAwkward) {
    for (const int64_t n : kAwkward) {
      ASSERT_NO_FATAL_FAILURE(check_gram(rng, tokens, n));
      for (const int64_t m : kAwkward) ASSERT_NO_FATAL_FAILURE(check_product_tn(rng, tokens, m, n));
    }
  }
  check_gram(rng, 3, 1100);  // panels
  check_gram(rng, 2 * kGramChunkRows + 1, 5);
  check_product_tn(rng, kGramChunkRows + 2, 3, 4);
  check_product_tn(rng, 3, 520, 515);
}

// |E|, the error of the sums, is below n max |E_ij|; so H + |E| I has no negative eigenvalue. A third of the rank: most
// eigenvalues are zero, and any further error would show.
TEST(Bf16, GramIsPositiveSemidefiniteUpToTheRoundingOfSums) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  constexpr int64_t kTokens = 40, kChannels = 120;
  const Framed<uint16_t> x(rng, kTokens, kChannels);
  Matrix<double> h = Matrix<double>::zeros(kChannels, kChannels);
  add_gram(x.view(), h.view());
  double largest = 0;
  for (int64_t i = 0; i < kChannels; ++i) largest = std::max(largest, h(i, i));
  const double error = static_cast<double>(kChannels * (kTokens + 1)) * kUnit * largest;
  for (int64_t i = 0; i < kChannels; ++i) {
    for (int64_t j = 0; j < i; ++j) h(j, i) = h(i, j);
    h(i, i) += error;
  }
  EXPECT_TRUE(factor_upper(h.view()).ok());
}

TEST(Bf16, OperandsOfTwoTypesAreAnInternalError) {
  const Matrix<uint16_t> bits(2, 3);
  const Matrix<float> floats(2, 3);
  Matrix<float> c(2, 2);
  EXPECT_THROW(gemm_nt(bits.view(), floats.view(), c.view(), Output::kSet), Error);
  EXPECT_THROW(gemm_nt(floats.view(), bits.view(), c.view(), Output::kSet), Error);
}

// The primitive itself, which runs in float32 everywhere: steps, transposes and sums are the same for both types.
template <class T>
void check_matmul(Rng& rng, bool transposed, bool add) {
  constexpr int64_t kM = 33, kN = 17, kK = 29;
  const Framed<T> a(rng, transposed ? kK : kM, transposed ? kM : kK);
  const Framed<T> b(rng, transposed ? kK : kN, transposed ? kN : kK);
  Framed<float> c(rng, kM, kN);
  const Matrix<float> before = c.frame.clone();
  const int64_t a_step = a.view().stride, b_step = b.view().stride;
  const MatmulShape shape{.type = ConstComputeView(a.view()).type,
                          .m = kM,
                          .n = kN,
                          .k = kK,
                          .a_row = transposed ? 1 : a_step,
                          .a_col = transposed ? a_step : 1,
                          .b_row = transposed ? b_step : 1,
                          .b_col = transposed ? 1 : b_step,
                          .c_row = c.view().stride,
                          .add = add};
  const bool done = matmul(shape, a.view().data, b.view().data, c.view().data);
  if (shape.type == ComputeType::kF32 || native_bf16()) {
    ASSERT_TRUE(done);
  }
  for (int64_t r = 0; r < kM; ++r) {
    for (int64_t col = 0; col < kN; ++col) {
      const double old = before(r + 1, col + 3);
      Sum sum;
      if (add) sum.add(old, 1);
      for (int64_t i = 0; i < kK; ++i) {
        sum.add(value_of(transposed ? a.view()(i, r) : a.view()(r, i)),
                value_of(transposed ? b.view()(i, col) : b.view()(col, i)));
      }
      // Refused: nothing is touched.
      ASSERT_NEAR(c.view()(r, col), done ? sum.value : old, done ? sum.tolerance() : 0);
    }
  }
}

TEST(Matmul, TakesStepsAndTransposesAndAdds) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (int repeat = 0; repeat < 2; ++repeat) {  // the second finds its primitive made
    for (const bool transposed : {false, true}) {
      for (const bool add : {false, true}) {
        SCOPED_TRACE(testing::Message() << "transposed " << transposed << ", add " << add);
        check_matmul<float>(rng, transposed, add);
        check_matmul<uint16_t>(rng, transposed, add);
      }
    }
  }
}

// More shapes than are kept.
TEST(Matmul, ManyShapes) {
  const std::vector<float> ones(600, 1.0f);
  for (int64_t k = 1; k <= 600; ++k) {
    float c = -1;
    ASSERT_TRUE(matmul({.m = 1, .n = 1, .k = k, .a_row = k, .a_col = 1, .b_row = 1, .b_col = 1, .c_row = 1},
                       ones.data(), ones.data(), &c));
    ASSERT_EQ(c, static_cast<float>(k));
  }
}

}  // namespace
}  // namespace hesse
