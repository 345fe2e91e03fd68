// The inner loop of the solver.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/feedback_kernel.h"
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class Feedback : public KernelTest {};
HESSE_FOR_EACH_TARGET(Feedback);

using Doubles = std::vector<double>;

// A block with its own memory; unused elements of `lower` are NaN, to be poisoned when they are read.
struct Block {
  Block(int64_t width_, int64_t lanes_, Rng& rng) : width(width_), lanes(lanes_), stride(width_ + 3) {
    const auto fill = [&](Doubles& values, int64_t count, double spread) {
      values.resize(static_cast<size_t>(count));
      for (double& value : values) value = spread * rng.normal();
    };
    fill(lower, width * stride, 0.3 / std::sqrt(static_cast<double>(width + 1)));
    for (int64_t k = 0; k < width; ++k) {
      lower[static_cast<size_t>(k * stride + k)] = (0.5 + rng.uniform()) * (rng.below(4) == 0 ? -1 : 1);
      for (int64_t i = k + 1; i < stride; ++i) lower[static_cast<size_t>(k * stride + i)] = double{kNaN};
    }
    fill(w, width * lanes, 1.0);
    fill(f, width * lanes, 1.0);
    fill(scale, std::max<int64_t>(1, width) * lanes, 1.0);
    for (double& s : scale) s = std::copysign(0.02 + std::fabs(s), s);
    zero.resize(scale.size());
    for (double& z : zero) z = static_cast<double>(1 + rng.below(15));
  }

  FeedbackBlock at(Doubles& error, Doubles* loss) const {
    error.assign(static_cast<size_t>(width * lanes), double{kNaN});
    if (loss != nullptr) loss->assign(static_cast<size_t>(lanes), 1.5);  // is added to
    return {.lower = lower.data(),
            .stride = stride,
            .width = width,
            .lanes = lanes,
            .w = w.data(),
            .f = with_feedback ? f.data() : nullptr,
            .scale = scale.data(),
            .zero = zero.data(),
            .grid_stride = grid_per_column ? lanes : 0,
            .top = kTop,
            .error = error.data(),
            .loss = loss != nullptr ? loss->data() : nullptr};
  }
  double value(const Doubles& m, int64_t k, int64_t lane) const { return m[static_cast<size_t>(k * lanes + lane)]; }
  double l(int64_t k, int64_t i) const { return lower[static_cast<size_t>(k * stride + i)]; }
  double grid(const Doubles& m, int64_t k, int64_t lane) const { return value(m, grid_per_column ? k : 0, lane); }

  static constexpr double kTop = 15;
  int64_t width, lanes, stride;
  bool with_feedback = true;
  bool grid_per_column = true;
  Doubles lower, w, f, scale, zero;
};

// Follows the kernel's own errors, column by column: each must be w - q for a q of the grid that is nearest to t, as
// far as t is known. With n terms t has an error below (n + 3) units of the sum of magnitudes (Higham 2002, section
// 3.1), q = scale * steps and w - q one rounding each.
void expect_nearest(const Block& b, const Doubles& error, const Doubles& loss) {
  for (int64_t lane = 0; lane < b.lanes; ++lane) {
    long double sum_of_losses = 1.5L, slack = 0;
    for (int64_t k = 0; k < b.width; ++k) {
      long double sum = b.with_feedback ? b.value(b.f, k, lane) : 0.0, size = std::fabs(sum);
      for (int64_t i = 0; i < k; ++i) {
        const long double term = static_cast<long double>(b.l(k, i)) * b.value(error, i, lane);
        sum += term;
        size += std::fabs(term);
      }
      const long double w = b.value(b.w, k, lane), t = w + sum / b.l(k, k);
      const double scale = b.grid(b.scale, k, lane), zero = b.grid(b.zero, k, lane);
      const double e = b.value(error, k, lane);
      const long double steps = std::round((w - e) / scale);
      ASSERT_TRUE(steps >= -zero && steps <= Block::kTop - zero) << steps << " steps, zero point " << zero;
      const long double q = scale * steps;
      ASSERT_NEAR(static_cast<double>(w - q), e,
                  2 * kUnitDouble * static_cast<double>(std::fabs(w) + 2 * std::fabs(q)));
      const long double known = static_cast<double>(k + 6) * kUnitDouble * (size / std::fabs(b.l(k, k)) + std::fabs(w));
      const long double best = scale * std::clamp(std::round(t / scale), -1.0L * zero, 1.0L * Block::kTop - zero);
      ASSERT_LE(std::fabs(t - q), std::fabs(t - best) + 2 * (known + 4 * kUnitDouble * std::fabs(t)))
          << "column " << k << ", lane " << lane << " on " << simd_target();
      const long double square = static_cast<long double>(b.l(k, k)) * b.l(k, k);
      sum_of_losses += square * (t - q) * (t - q);
      slack += square * (2 * std::fabs(t - q) + known) * known;
    }
    if (loss.empty()) continue;
    slack += static_cast<double>(b.width + 6) * kUnitDouble * sum_of_losses;
    ASSERT_NEAR(loss[static_cast<size_t>(lane)], static_cast<double>(sum_of_losses), static_cast<double>(slack))
        << "lane " << lane << " on " << simd_target();
  }
}

// A lane in which some t lies so near to the middle between two steps that rounding may decide.
bool has_tie(const Block& b, const Doubles& error, int64_t lane) {
  for (int64_t k = 0; k < b.width; ++k) {
    double sum = b.with_feedback ? b.value(b.f, k, lane) : 0.0;
    for (int64_t i = 0; i < k; ++i) sum += b.l(k, i) * b.value(error, i, lane);
    const double steps = (b.value(b.w, k, lane) + sum / b.l(k, k)) / b.grid(b.scale, k, lane);
    if (std::fabs(std::fabs(steps - std::floor(steps)) - 0.5) < 1e-9) return true;
  }
  return false;
}

// Away from ties both take the same codes, and w - q may be contracted or not.
void expect_like_twin(const Block& b, const Doubles& error) {
  Doubles twin;
  scalar::feedback_block(b.at(twin, nullptr));
  for (int64_t lane = 0; lane < b.lanes; ++lane) {
    if (has_tie(b, twin, lane)) continue;
    for (int64_t k = 0; k < b.width; ++k) {
      const double expected = b.value(twin, k, lane), q = b.value(b.w, k, lane) - expected;
      ASSERT_TRUE(within(b.value(error, k, lane), expected, 2 * kUnitDouble * (std::fabs(expected) + std::fabs(q))))
          << "column " << k << ", lane " << lane << " on " << simd_target();
    }
  }
}

TEST_P(Feedback, TakesTheNearestValueColumnByColumn) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t lanes : {8, 16, 24, 32, 64}) {
    for (const int64_t width : {0, 1, 2, 63, 64, 65, 128}) {
      for (int variant = 0; variant < 8; ++variant) {
        SCOPED_TRACE("lanes " + std::to_string(lanes) + ", width " + std::to_string(width) + ", variant " +
                     std::to_string(variant));
        Block b(width, lanes, rng);
        b.with_feedback = variant % 2 == 0;
        b.grid_per_column = variant / 2 % 2 == 0;
        Doubles error, loss;
        feedback_block(b.at(error, variant < 4 ? &loss : nullptr));
        expect_nearest(b, error, loss);
        expect_like_twin(b, error);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Feedback, TheTwinTakesTheNearestValue) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t width : {1, 2, 65}) {
    const Block b(width, 16, rng);
    Doubles error, loss;
    scalar::feedback_block(b.at(error, &loss));
    expect_nearest(b, error, loss);
  }
}

// Halves to even, and beyond the grid its ends, for both signs of the scale. One column: t = w.
TEST_P(Feedback, TiesAndEnds) {
  for (const double sign : {1.0, -1.0}) {
    const Doubles steps = {0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 1e300, -1e300}, nearest = {0, 2, 2, 0, -2, -2, 7, -8};
    const double lower = 2, zero[8] = {8, 8, 8, 8, 8, 8, 8, 8};
    Doubles w(8), scale(8, sign * 0.25), error(8), loss(8, 0.0);
    for (size_t i = 0; i < 8; ++i) w[i] = scale[i] * steps[i];
    for (auto* kernel : {feedback_block, scalar::feedback_block}) {
      kernel({&lower, 1, 1, 8, w.data(), nullptr, scale.data(), zero, 0, 15, error.data(), loss.data()});
      for (size_t i = 0; i < 8; ++i) EXPECT_EQ(error[i], w[i] - scale[i] * nearest[i]) << steps[i];
    }
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(loss[i], 2 * 4 * error[i] * error[i]);  // of both calls
  }
}

}  // namespace
}  // namespace hesse
