// From what was collected to targets and factors, on streams made of random numbers.
#include "run/stage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>

#include "quant/solver.h"
#include "quant/target.h"
#include "run/random_calibration.h"

namespace hesse {
namespace {

constexpr int64_t kCount = 6, kLength = 15, kIn = 44;

// N [out, in] = shift W sum (x - x~) x~^T + residual sum (h - h~) x~^T
Matrix<double> drift_of(const Calibration& c, const ShiftOptions& options) {
  const Matrix<float>& w = c.stage.linears[0].weight.f32();
  const Matrix<float>& original = c.streams.original->x.f32();
  const Matrix<float>& quantized = c.streams.quantized.x.f32();
  Matrix<double> n = Matrix<double>::zeros(w.rows(), w.cols());
  for (int64_t t = 0; t < kCount * kLength; ++t) {
    for (int64_t o = 0; o < w.rows(); ++o) {
      double y = options.residual * (double{c.streams.original->h(t, o)} - c.streams.quantized.h(t, o));
      for (int64_t i = 0; i < kIn; ++i) y += options.shift * w(o, i) * (double{original(t, i)} - quantized(t, i));
      for (int64_t i = 0; i < kIn; ++i) n(o, i) += y * quantized(t, i);
    }
  }
  return n;
}

// The equation that defines a target, (W* - W) (H + lambda I) = N, for each range of columns; its lambda is not that of
// the solve, for which H is factored anew.
void expect_targets(Calibration& c) {
  Collected collected = collect(c.job, c.stage, c.streams);
  const std::vector<ColumnRange> ranges = collected.ranges;
  const PreparedStage prepared = prepare_stage(c.job, 0, c.stage, collected);
  const Matrix<double> n = drift_of(c, c.job.gptq.targets);
  const Matrix<float>& w = c.stage.linears[0].weight.f32();
  ASSERT_EQ(prepared.hessians.size(), ranges.size());
  for (size_t r = 0; r < ranges.size(); ++r) {
    const PreparedHessian& hessian = prepared.hessians[r];
    EXPECT_EQ(hessian.tokens, kCount * kLength);
    EXPECT_EQ(hessian.damping, c.job.gptq.damping);
    const double mean =
        std::accumulate(hessian.diagonal.begin(), hessian.diagonal.end(), 0.0) / double(ranges[r].count);
    const double lambda =
        mean * target_damping(c.job.gptq.targets, c.job.gptq.damping, ranges[r].count, kCount * kLength);
    for (int64_t o = 0; o < w.rows(); ++o) {
      for (int64_t j = 0; j < ranges[r].count; ++j) {
        double sum = 0, size = 0;
        for (int64_t i = 0; i < ranges[r].count; ++i) {
          const int64_t at = ranges[r].first + i;
          const double move = double{prepared.targets[0](o, at)} - w(o, at);
          const double h = hessian.h()(i, j) + (i == j ? lambda : 0);
          sum += move * h;
          size += std::fabs(h) * (std::fabs(move) + std::fabs(w(o, at)));
        }
        // N and H are sums of float32 products, targets are float32.
        ASSERT_NEAR(sum, n(o, ranges[r].first + j), 1e-6 * (size + std::fabs(n(o, ranges[r].first + j)) + mean));
      }
    }
  }
}

TEST(Stage, TargetsSolveTheirOwnRidgeEquation) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  Rng rng(test_seed());
  for (const bool writes_residual : {false, true}) {
    for (const int64_t memory : {int64_t{1} << 30, int64_t{8 * (24 * 24 + 20 * 20)}}) {
      for (const double ridge : {0.0, 5.0}) {
        SCOPED_TRACE(testing::Message() << "memory " << memory << ", ridge " << ridge);
        Calibration c(rng, kCount, kLength, kIn);
        c.job.solver = &solver("gptq");
        c.job.hessian_memory_bytes = memory;
        c.stage.writes_residual = writes_residual;
        c.job.gptq.targets = {.shift = 0.8, .residual = writes_residual ? 0.6 : 0, .ridge = ridge};
        c.streams.original = Stream{normal_matrix(rng, kCount * kLength, 6), normal_matrix(rng, kCount * kLength, kIn)};
        expect_targets(c);
      }
    }
  }
}

TEST(Stage, WithoutASecondStreamTheTargetsAreTheWeights) {
  Rng rng(test_seed());
  Calibration c(rng, kCount, kLength, kIn);
  c.job.solver = &solver("gptq");
  Collected collected = collect(c.job, c.stage, c.streams);
  const PreparedStage prepared = prepare_stage(c.job, 0, c.stage, collected);
  const Matrix<float>& w = c.stage.linears[0].weight.f32();
  for (int64_t i = 0; i < w.size(); ++i) ASSERT_EQ(prepared.targets.at(0).data()[i], w.data()[i]);
}

}  // namespace
}  // namespace hesse
