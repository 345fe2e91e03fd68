// The inner loop of the solver.
#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/feedback_kernel.h"
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class Feedback : public KernelTest {};
HESSE_FOR_EACH_TARGET(Feedback);

// A block with its own memory; unused elements of `lower` are NaN, to be poisoned when they are read.
template <class T>
struct Block {
  using Values = std::vector<T>;

  Block(int64_t width_, int64_t lanes_, int64_t copies_, Rng& rng)
      : width(width_), lanes(lanes_), copies(copies_), stride(width_ + 3) {
    const auto fill = [&](Values& values, int64_t count, double spread) {
      values.resize(static_cast<size_t>(count));
      for (T& value : values) value = static_cast<T>(spread * rng.normal());
    };
    fill(lower, width * stride, 0.3 / std::sqrt(static_cast<double>(width + 1)));
    for (int64_t k = 0; k < width; ++k) {
      lower[static_cast<size_t>(k * stride + k)] = static_cast<T>((0.5 + rng.uniform()) * (rng.below(4) == 0 ? -1 : 1));
      for (int64_t i = k + 1; i < stride; ++i) lower[static_cast<size_t>(k * stride + i)] = T{kNaN};
    }
    fill(w, width * lanes / copies, 1.0);
    fill(f, width * lanes / copies, 1.0);
    fill(scale, std::max<int64_t>(1, width) * lanes, 1.0);
    for (T& s : scale) s = std::copysign(T(0.02) + std::fabs(s), s);
    zero.resize(scale.size());
    for (T& z : zero) z = static_cast<T>(1 + rng.below(15));
  }

  FeedbackBlock<T> at(Values& error, Values* loss) const {
    error.assign(static_cast<size_t>(width * lanes), T{kNaN});
    if (loss != nullptr) loss->assign(static_cast<size_t>(lanes), T(1.5));  // is added to
    return {.lower = lower.data(),
            .stride = stride,
            .width = width,
            .lanes = lanes,
            .copies = copies,
            .w = w.data(),
            .f = with_feedback ? f.data() : nullptr,
            .scale = scale.data(),
            .zero = zero.data(),
            .grid_stride = grid_per_column ? lanes : 0,
            .top = kTop,
            .error = error.data(),
            .loss = loss != nullptr ? loss->data() : nullptr};
  }
  T value(const Values& m, int64_t k, int64_t lane) const { return m[static_cast<size_t>(k * lanes + lane)]; }
  T shared(const Values& m, int64_t k, int64_t lane) const {
    return m[static_cast<size_t>(k * (lanes / copies) + lane / copies)];
  }
  T l(int64_t k, int64_t i) const { return lower[static_cast<size_t>(k * stride + i)]; }
  T grid(const Values& m, int64_t k, int64_t lane) const { return value(m, grid_per_column ? k : 0, lane); }
  T feedback(int64_t k, int64_t lane) const { return with_feedback ? shared(f, k, lane) : T{0}; }

  static constexpr double kUnit = std::is_same_v<T, float> ? 0x1p-24 : 0x1p-53;
  static constexpr T kTop = 15;
  int64_t width, lanes, copies, stride;
  bool with_feedback = true;
  bool grid_per_column = true;
  Values lower, w, f, scale, zero;
};

// Follows the kernel's own errors, column by column: each must be w - q for a q of the grid that is nearest to t, as
// far as t is known. With n terms t has an error below (n + 3) units of the sum of magnitudes (Higham 2002, section
// 3.1), q = scale * steps and w - q one rounding each.
template <class T>
void expect_nearest(const Block<T>& b, const std::vector<T>& error, const std::vector<T>& loss) {
  constexpr double kUnit = Block<T>::kUnit;
  for (int64_t lane = 0; lane < b.lanes; ++lane) {
    long double sum_of_losses = 1.5L, slack = 0;
    for (int64_t k = 0; k < b.width; ++k) {
      long double sum = b.feedback(k, lane), size = std::fabs(sum);
      for (int64_t i = 0; i < k; ++i) {
        const long double term = static_cast<long double>(b.l(k, i)) * b.value(error, i, lane);
        sum += term;
        size += std::fabs(term);
      }
      const long double w = b.shared(b.w, k, lane), t = w + sum / b.l(k, k);
      const double scale{b.grid(b.scale, k, lane)}, zero{b.grid(b.zero, k, lane)};
      const double e{b.value(error, k, lane)};
      const long double steps = std::round((w - e) / scale);
      ASSERT_TRUE(steps >= -zero && steps <= double{Block<T>::kTop} - zero) << steps << " steps, zero point " << zero;
      const long double q = scale * steps;
      ASSERT_NEAR(static_cast<double>(w - q), e, 2 * kUnit * static_cast<double>(std::fabs(w) + 2 * std::fabs(q)));
      const long double known = static_cast<double>(k + 6) * kUnit * (size / std::fabs(b.l(k, k)) + std::fabs(w));
      const long double best = scale * std::clamp(std::round(t / scale), -1.0L * zero, 1.0L * Block<T>::kTop - zero);
      ASSERT_LE(std::fabs(t - q), std::fabs(t - best) + 2 * (known + 4 * kUnit * std::fabs(t)))
          << "column " << k << ", lane " << lane << " on " << simd_target();
      const long double square = static_cast<long double>(b.l(k, k)) * b.l(k, k);
      sum_of_losses += square * (t - q) * (t - q);
      slack += square * (2 * std::fabs(t - q) + known) * known;
    }
    if (loss.empty()) continue;
    slack += static_cast<double>(b.width + 6) * kUnit * sum_of_losses;
    ASSERT_NEAR(loss[static_cast<size_t>(lane)], static_cast<double>(sum_of_losses), static_cast<double>(slack))
        << "lane " << lane << " on " << simd_target();
  }
}

// A lane in which some t lies so near to the middle between two steps that rounding may decide.
template <class T>
bool has_tie(const Block<T>& b, const std::vector<T>& error, int64_t lane) {
  const double near = double(b.width + 10) * 1e3 * Block<T>::kUnit;
  for (int64_t k = 0; k < b.width; ++k) {
    double sum{b.feedback(k, lane)};
    for (int64_t i = 0; i < k; ++i) sum += double{b.l(k, i)} * double{b.value(error, i, lane)};
    const double steps = (double{b.shared(b.w, k, lane)} + sum / double{b.l(k, k)}) / double{b.grid(b.scale, k, lane)};
    if (std::fabs(std::fabs(steps - std::floor(steps)) - 0.5) < near * (1 + std::fabs(steps))) return true;
  }
  return false;
}

// Away from ties both take the same codes, and w - q may be contracted or not.
template <class T>
void expect_like_twin(const Block<T>& b, const std::vector<T>& error) {
  std::vector<T> twin;
  scalar::feedback_block(b.at(twin, nullptr));
  for (int64_t lane = 0; lane < b.lanes; ++lane) {
    if (has_tie(b, twin, lane)) continue;
    for (int64_t k = 0; k < b.width; ++k) {
      const double expected{b.value(twin, k, lane)}, q = double{b.shared(b.w, k, lane)} - expected;
      ASSERT_TRUE(
          within(double{b.value(error, k, lane)}, expected, 2 * Block<T>::kUnit * (std::fabs(expected) + std::fabs(q))))
          << "column " << k << ", lane " << lane << " on " << simd_target();
    }
  }
}

template <class T>
void expect_right_blocks(Rng& rng) {
  for (const auto& [lanes, copies] : {std::pair<int64_t, int64_t>{16, 1},
                                      {32, 1},
                                      {48, 1},
                                      {64, 1},
                                      {128, 1},
                                      {144, 1},
                                      {16, 16},
                                      {64, 16},
                                      {96, 32},
                                      {128, 64}}) {
    for (const int64_t width : {0, 1, 2, 63, 64, 65, 128}) {
      for (int variant = 0; variant < 8; ++variant) {
        SCOPED_TRACE("lanes " + std::to_string(lanes) + ", copies " + std::to_string(copies) + ", width " +
                     std::to_string(width) + ", variant " + std::to_string(variant));
        Block<T> b(width, lanes, copies, rng);
        b.with_feedback = variant % 2 == 0;
        b.grid_per_column = variant / 2 % 2 == 0;
        std::vector<T> error, loss;
        feedback_block(b.at(error, variant < 4 ? &loss : nullptr));
        expect_nearest(b, error, loss);
        expect_like_twin(b, error);
        if (testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Feedback, TakesTheNearestValueColumnByColumn) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  expect_right_blocks<double>(rng);
}

TEST_P(Feedback, InFloat32Too) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  expect_right_blocks<float>(rng);
}

template <class T>
void expect_right_twin(Rng& rng) {
  for (const int64_t width : {1, 2, 65}) {
    for (const int64_t copies : {1, 16}) {
      const Block<T> b(width, 32, copies, rng);
      std::vector<T> error, loss;
      scalar::feedback_block(b.at(error, &loss));
      expect_nearest(b, error, loss);
    }
  }
}

TEST_P(Feedback, TheTwinTakesTheNearestValue) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  expect_right_twin<double>(rng);
  expect_right_twin<float>(rng);
}

// Halves to even, and beyond the grid its ends, for both signs of the scale. One column: t = w.
template <class T>
void expect_ties_and_ends(T far) {
  constexpr size_t kLanes = kFeedbackLanes;
  using Values = std::vector<T>;
  const Values few = {T(0.5), T(1.5), T(2.5), T(-0.5), T(-1.5), T(-2.5), far, -far}, ends = {0, 2, 2, 0, -2, -2, 7, -8};
  for (const T sign : {T{1}, T{-1}}) {
    const T lower = 2;
    const Values zero(kLanes, 8), scale(kLanes, sign * T(0.25));
    Values w(kLanes), error(kLanes), loss(kLanes, 0);
    for (size_t i = 0; i < kLanes; ++i) w[i] = scale[i] * few[i % 8];
    for (void (*kernel)(const FeedbackBlock<T>&) : {+[](const FeedbackBlock<T>& b) { feedback_block(b); },
                                                    +[](const FeedbackBlock<T>& b) { scalar::feedback_block(b); }}) {
      kernel({.lower = &lower,
              .stride = 1,
              .width = 1,
              .lanes = kFeedbackLanes,
              .w = w.data(),
              .f = nullptr,
              .scale = scale.data(),
              .zero = zero.data(),
              .grid_stride = 0,
              .top = 15,
              .error = error.data(),
              .loss = loss.data()});
      for (size_t i = 0; i < kLanes; ++i) EXPECT_EQ(error[i], w[i] - scale[i] * ends[i % 8]) << few[i % 8];
    }
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(loss[i], 2 * 4 * error[i] * error[i]);  // of both calls
  }
}

TEST_P(Feedback, TiesAndEnds) {
  expect_ties_and_ends<double>(1e300);
  expect_ties_and_ends<float>(1e15f);
}

}  // namespace
}  // namespace hesse
