// The oracle itself: the scalar twins against formulas written another way, in long double.
#include <gmock/gmock.h>

#include <algorithm>
#include <complex>

#include "base/dtype.h"
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

// One rounding to float, and slack for the double arithmetic before it.
double one_rounding(long double exact) { return kUnit * 1.0001 * static_cast<double>(std::fabs(exact)) + kSmallest; }

TEST(KernelTesting, WithinTellsApart) {
  EXPECT_TRUE(within(1.0, 1.5, 0.5));
  EXPECT_TRUE(within(kNaN, kNaN, 0.0));
  EXPECT_TRUE(within(kInf, kInf, 0.0));
  EXPECT_FALSE(within(1.0, 1.5, 0.4));
  EXPECT_FALSE(within(kNaN, 1.0, 1e30));
  EXPECT_FALSE(within(1.0, kNaN, 1e30));
  EXPECT_FALSE(within(kInf, 1.0, 1e30));
  EXPECT_FALSE(within(-kInf, kInf, 1e30));
}

TEST(KernelTesting, TheBestTargetIsWhatUsersGet) {
  const auto targets = simd_targets();
  ASSERT_FALSE(targets.empty());
  EXPECT_EQ(simd_target(), target_name(targets.front()));
  for (const int64_t target : targets) EXPECT_THAT(compiled_targets(), testing::Contains(target));
}

// One binary for all machines: a build for the processor it was made on, or one that lost a target, would pass every
// other test here.
TEST(KernelTesting, EveryUsualTargetIsCompiled) {
  std::vector<std::string> names;
  for (const int64_t target : compiled_targets()) names.push_back(target_name(target));
  RecordProperty("targets", testing::PrintToString(names));
#if defined(HWY_COMPILE_ONLY_SCALAR)  // test_kernels_scalar
  EXPECT_EQ(names.size(), 1u) << testing::PrintToString(names);
#elif defined(__x86_64__)
  EXPECT_THAT(names, testing::IsSupersetOf({"SSSE3", "SSE4", "AVX2", "AVX3"}));
#endif
}

TEST(ScalarTwin, RmsNorm) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Row x(1000, 0, rng, 3.0), w(1000, 0, rng);
  Row out(1000, 0, 0.0f);
  scalar::rms_norm(x.data(), w.data(), 1e-5f, out.data(), 1000);
  long double mean = 0;
  for (const float value : x.storage) mean += static_cast<long double>(value) * value / 1000.0L;
  for (int64_t i = 0; i < 1000; ++i) {
    const long double exact = static_cast<long double>(w[i]) * x[i] / std::sqrt(mean + 1e-5f);
    EXPECT_WITHIN(out[i], static_cast<double>(exact), one_rounding(exact));
  }
}

TEST(ScalarTwin, SiluIsHalfOfOnePlusTanh) {
  for (float x = -20.0f; x <= 100.0f; x += 0.37f) {
    const long double exact = 3.0L * x * 0.5L * (1.0L + std::tanh(x / 2.0L));
    float gate = x;
    const float up = 3.0f;
    scalar::silu_mul(&gate, &up, 1);
    EXPECT_WITHIN(gate, static_cast<double>(exact), one_rounding(exact));
  }
}

// The published formula; 1 + tanh cancels for x < 0, so far as long double has digits left.
TEST(ScalarTwin, GeluTanhIsThePublishedFormula) {
  const long double root = std::sqrt(2.0L / std::acos(-1.0L));
  for (float x = -6.0f; x <= 100.0f; x += 0.037f) {
    const long double wide = x;
    const long double exact = 3.0L * wide / 2 * (1 + std::tanh(root * (wide + 0.044715L * wide * wide * wide)));
    const double cancelled = 3.0 * std::fabs(x) * static_cast<double>(std::numeric_limits<long double>::epsilon());
    float gate = x;
    const float up = 3.0f;
    scalar::gelu_tanh_mul(&gate, &up, 1);
    EXPECT_WITHIN(gate, static_cast<double>(exact), one_rounding(exact) + cancelled);
  }
}

TEST(ScalarTwin, RopeMultipliesByAComplexNumber) {
  Row x(2, 0, 0.0f);
  for (double angle = -7.0; angle < 7.0; angle += 0.31) {
    x[0] = 1.25f, x[1] = -0.5f;
    const float c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
    scalar::rope_half(x.data(), &c, &s, 1);
    const std::complex<double> exact = std::complex<double>(1.25, -0.5) * std::complex<double>(c, s);
    EXPECT_WITHIN(x[0], exact.real(), one_rounding(exact.real()));
    EXPECT_WITHIN(x[1], exact.imag(), one_rounding(exact.imag()));
  }
}

TEST(ScalarTwin, GemmOfAWrittenOutExample) {
  const Floats a{1, 2, 3, 4, 5, 6}, b{7, 8, 9, 10, 11, 12};  // [2,3] and [3,2]
  Floats c(4, kNaN);
  scalar::gemm_tile(a.data(), 3, b.data(), 2, c.data(), 2, 2, 2, 3, 0);
  EXPECT_EQ(c, (Floats{58, 64, 139, 154}));
  scalar::gemm_tile(a.data(), 3, b.data(), 2, c.data(), 2, 2, 2, 3, 1);
  EXPECT_EQ(c, (Floats{116, 128, 278, 308}));
}

TEST(ScalarTwin, SoftmaxTileIsSoftmaxAfterDivision) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Row scores(77, 0, rng, 5.0);
  long double sum = 0;
  for (const float s : scores.storage) sum += std::exp(static_cast<long double>(s));
  Row s = scores;
  float max = -kInf, total = 0;
  EXPECT_EQ(scalar::softmax_tile(s.data(), 77, &max, &total), 0.0f);
  EXPECT_EQ(max, *std::max_element(scores.storage.begin(), scores.storage.end()));
  for (int64_t j = 0; j < 77; ++j) {
    const long double exact = std::exp(static_cast<long double>(scores[j])) / sum;
    EXPECT_WITHIN(s[j] / double{total}, static_cast<double>(exact), 2 * one_rounding(exact));
  }
}

TEST(ScalarTwin, LogSumExpOfEqualValues) {
  for (const int64_t n : {1, 2, 1000}) {
    for (const float value : {-1e4f, -1.5f, 0.0f, 1e4f}) {
      const double exact = value + std::log(static_cast<double>(n));
      EXPECT_WITHIN(scalar::log_sum_exp(Row(n, 0, value).data(), n), exact, 4 * kUnitDouble * std::fabs(exact));
    }
  }
}

TEST(ScalarTwin, MaxAbs) {
  EXPECT_EQ(scalar::max_abs(nullptr, 0), 0.0f);
  EXPECT_EQ(scalar::max_abs(Floats{1, -3, 2}.data(), 3), 3.0f);
  EXPECT_EQ(scalar::max_abs(Floats{1, kNaN, 2}.data(), 3), kInf);
  EXPECT_EQ(scalar::max_abs(Floats{1, -kInf, 2}.data(), 3), kInf);
}

}  // namespace
}  // namespace hesse
