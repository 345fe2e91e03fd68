// What a pass over the calibration tokens leaves behind, on streams made of random numbers.
#include "run/collect.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "base/dtype.h"
#include "quant/held_out.h"
#include "run/random_calibration.h"

namespace hesse {
namespace {

bool is_held_out(int64_t sample) { return sample % kHeldOutEvery == kHeldOutEvery - 1; }

// `h` is the sum of x x^T over the tokens that `counts` names, of the columns from `first` on. Products in float32: at
// most one rounding for each token and sum, and one for the product.
void expect_gram(const Hessian& h, const Matrix<float>& x, int64_t first, const std::function<bool(int64_t)>& counts) {
  int64_t tokens = 0;
  for (int64_t t = 0; t < x.rows(); ++t) tokens += counts(t) ? 1 : 0;
  EXPECT_EQ(h.tokens, tokens);
  for (int64_t i = 0; i < h.in(); ++i) {
    for (int64_t j = 0; j < h.in(); ++j) {
      double sum = 0, size = 0;
      for (int64_t t = 0; t < x.rows(); ++t) {
        const double product = double{x(t, first + i)} * x(t, first + j);
        if (counts(t)) sum += product, size += std::fabs(product);
      }
      ASSERT_NEAR(h(i, j), sum, static_cast<double>(tokens + 1) * 0x1p-24 * size) << i << ", " << j;
    }
  }
}

TEST(Collect, EveryFifthSequenceIsHeldOut) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  Rng rng(test_seed());
  // All in one batch; several batches, of sequences that the fifths do not divide; one sequence a batch.
  for (const auto& [count, length] : {std::pair<int64_t, int64_t>{11, 7}, {17, 300}, {6, 2100}, {5, 1}}) {
    SCOPED_TRACE(testing::Message() << count << " windows of " << length);
    const Calibration c(rng, count, length, 12);
    const Collected collected = collect(c.job, c.stage, c.streams);
    ASSERT_EQ(collected.hessians.size(), 1u);
    ASSERT_TRUE(collected.held_out.has_value());
    const Matrix<float>& x = c.streams.quantized.x.f32();
    expect_gram(collected.hessians[0], x, 0, [&](int64_t t) { return !is_held_out(c.sample_of(t)); });
    expect_gram(*collected.held_out, x, 0, [&](int64_t t) { return is_held_out(c.sample_of(t)); });
    EXPECT_EQ(collected.left_out, 0);
    EXPECT_FALSE(collected.first_bad.has_value());
    float largest = 0;
    for (int64_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::fabs(x.data()[i]));
    EXPECT_EQ(collected.largest_activation, largest);
  }
}

TEST(Collect, FewSequencesAreAllUsed) {
  Rng rng(test_seed());
  const Calibration c(rng, kHeldOutEvery - 1, 9, 12);
  const Collected collected = collect(c.job, c.stage, c.streams);
  EXPECT_FALSE(collected.held_out.has_value());
  expect_gram(collected.hessians.at(0), c.streams.quantized.x.f32(), 0, [](int64_t) { return true; });
}

TEST(Collect, AWideStageHasDiagonalBlocks) {
  Rng rng(test_seed());
  Calibration c(rng, 10, 20, 44);
  c.job.hessian_memory_bytes = 8 * (24 * 24 + 20 * 20);
  const Collected collected = collect(c.job, c.stage, c.streams);
  ASSERT_EQ(collected.ranges.size(), 2u);
  ASSERT_EQ(collected.hessians.size(), 2u);
  EXPECT_FALSE(collected.held_out.has_value());
  for (size_t r = 0; r < 2; ++r) {
    EXPECT_EQ(collected.ranges[r].count, collected.hessians[r].in());
    expect_gram(collected.hessians[r], c.streams.quantized.x.f32(), collected.ranges[r].first,
                [](int64_t) { return true; });
  }
}

TEST(Collect, UnusableTokensAreLeftOutAndTheFirstIsNamed) {
  Rng rng(test_seed());
  Calibration c(rng, 3, 10, 12);
  Matrix<float>& x = c.streams.quantized.x.f32();
  x(14, 5) = 0x1p+61f;  // finite, but no sum of squares of it says anything
  x(27, 0) = std::numeric_limits<float>::quiet_NaN();
  const Collected collected = collect(c.job, c.stage, c.streams);
  EXPECT_EQ(collected.left_out, 2);
  ASSERT_TRUE(collected.first_bad.has_value());
  EXPECT_EQ(collected.first_bad->sample, 1);
  EXPECT_EQ(collected.first_bad->token, 4);
  EXPECT_EQ(collected.first_bad->channel, 5);
  EXPECT_EQ(collected.first_bad->value, 0x1p+61f);
  EXPECT_FALSE(collected.first_bad->original);
  EXPECT_LT(collected.largest_activation, 100);
  for (int64_t i = 0; i < 12; ++i) x(14, i) = x(27, i) = 0;
  expect_gram(collected.hessians.at(0), x, 0, [](int64_t t) { return t != 14 && t != 27; });
}

// The same tokens in bfloat16: Gram matrix of what is stored, and the same tokens left out.
TEST(Collect, Bfloat16InputsAreCountedAsTheyAreStored) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  Rng rng(test_seed());
  Calibration c(rng, 6, 10, 12);
  Matrix<uint16_t> bits(60, 12);
  Matrix<float> stored(60, 12);
  float largest = 0;
  for (int64_t i = 0; i < bits.size(); ++i) {
    bits.data()[i] = float_to_bf16(c.streams.quantized.x.f32().data()[i]);
    stored.data()[i] = bf16_to_float(bits.data()[i]);
    largest = std::max(largest, std::fabs(stored.data()[i]));
  }
  bits(14, 5) = 0xFF80;  // -infinity
  for (int64_t i = 0; i < 12; ++i) stored(14, i) = 0;
  c.streams.quantized.x = std::move(bits);
  const Collected collected = collect(c.job, c.stage, c.streams);
  EXPECT_EQ(collected.left_out, 1);
  ASSERT_TRUE(collected.first_bad.has_value());
  EXPECT_EQ(collected.first_bad->sample, 1);
  EXPECT_EQ(collected.first_bad->token, 4);
  EXPECT_EQ(collected.first_bad->channel, 5);
  EXPECT_EQ(collected.first_bad->value, -std::numeric_limits<float>::infinity());
  EXPECT_LE(collected.largest_activation, largest);
  const auto kept = [&](int64_t t) { return t != 14 && !is_held_out(c.sample_of(t)); };
  expect_gram(collected.hessians.at(0), stored, 0, kept);
}

// Which form the drift takes: of the input, shared, or of the output of the one linear that writes the residual.
TEST(Collect, DriftFollowsTheOriginalStream) {
  Rng rng(test_seed());
  Calibration c(rng, 4, 10, 12);
  c.job.gptq.targets = {.shift = 1, .residual = 0};
  const Collected none = collect(c.job, c.stage, c.streams);
  EXPECT_FALSE(none.input.has_value());
  EXPECT_TRUE(none.outputs.empty());
  c.streams.original = Stream{normal_matrix(rng, 40, 6), normal_matrix(rng, 40, 12)};
  const Collected by_input = collect(c.job, c.stage, c.streams);
  ASSERT_TRUE(by_input.input.has_value());
  EXPECT_TRUE(by_input.outputs.empty());
  c.stage.writes_residual = true;
  const Collected by_output = collect(c.job, c.stage, c.streams);
  EXPECT_FALSE(by_output.input.has_value());
  ASSERT_EQ(by_output.outputs.size(), 1u);
  // Without a residual both are W sum (x - x~) x~^T.
  const Matrix<double> a = by_input.input->correction(c.stage.linears[0].weight.f32().view(), c.job.gptq.targets);
  const Matrix<double>& b = by_output.outputs[0].correction();
  for (int64_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a.data()[i], b.data()[i], 1e-3);
}

}  // namespace
}  // namespace hesse
