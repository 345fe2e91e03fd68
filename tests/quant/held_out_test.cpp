#include "quant/held_out.h"

#include <algorithm>

#include "quant/gptq.h"
#include "quant/solver_testing.h"

namespace hesse {
namespace {

constexpr int64_t kIn = 64;
const LinearSpec kSpec{.bits = 3, .group_size = 32};

HeldOutErrors errors_with(Rng& rng, int64_t tokens, int64_t held_out_tokens) {
  const PreparedHessian fit =
      prepare_hessian(hessian_of(correlated_inputs(rng, tokens, kIn).view()), {.group_width = 32});
  const Hessian held_out = hessian_of(correlated_inputs(rng, held_out_tokens, kIn).view());
  return held_out_errors(normal_matrix(rng, 100, kIn).view(), fit, held_out, kSpec, {});
}

// 64 inputs: 20000 tokens leave nothing to overfit, 32 leave half of the directions open.
TEST(HeldOut, ManyTokensSpeakForAllText) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const HeldOutErrors errors = errors_with(rng, 20000, 5000);
  EXPECT_GT(errors.fit, 0);
  EXPECT_NEAR(errors.held_out / errors.fit, 1.0, 0.1);
}

TEST(HeldOut, FewTokensDoNot) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const HeldOutErrors errors = errors_with(rng, 32, 5000);
  EXPECT_GT(errors.held_out, 1.5 * errors.fit);
}

// Both numbers in plain loops, of fewer rows than the sample has.
TEST(HeldOut, ErrorsAreThoseOfTheSolver) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const PreparedHessian fit = prepare_hessian(hessian_of(correlated_inputs(rng, 200, kIn).view()), {.group_width = 32});
  const Hessian held_out = hessian_of(correlated_inputs(rng, 50, kIn).view());
  const Matrix<float> weight = normal_matrix(rng, kHeldOutRows, kIn);
  const HeldOutErrors errors = held_out_errors(weight.view(), fit, held_out, kSpec, {.sweeps = 1});
  const QuantizedLinear solved = solve_gptq(weight.view(), &fit, kSpec, {.sweeps = 1});
  const auto relative = [&](const Matrix<double>& h) {
    Quadratic energy;
    for (int64_t row = 0; row < weight.rows(); ++row)
      energy.value += quadratic(std::vector<double>(weight.row(row), weight.row(row) + kIn), h).value;
    return static_cast<double>(loss_of(weight, solved, h).value / energy.value);
  };
  EXPECT_NEAR(errors.fit, relative(whole(fit.h())), 1e-5 * errors.fit);
  EXPECT_NEAR(errors.held_out, relative(held_out.sum), 1e-5 * errors.held_out);
}

// Rows are taken from all over: errors in any third of many rows change the numbers.
TEST(HeldOut, SamplesAllOverTheRows) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const PreparedHessian fit = prepare_hessian(hessian_of(correlated_inputs(rng, 200, kIn).view()), {.group_width = 32});
  const Hessian held_out = hessian_of(correlated_inputs(rng, 50, kIn).view());
  const Matrix<float> weight = normal_matrix(rng, 300, kIn);
  const double all = held_out_errors(weight.view(), fit, held_out, kSpec, {}).fit;
  for (int64_t third = 0; third < 3; ++third) {
    Matrix<float> other = weight.clone();
    std::fill_n(other.row(100 * third), 100 * kIn, 0.0f);
    EXPECT_NE(held_out_errors(other.view(), fit, held_out, kSpec, {}).fit, all) << third;
  }
}

TEST(HeldOut, UnmeasuredErrorsAreMinusOne) {
  EXPECT_EQ(HeldOutErrors{}.fit, -1);
  EXPECT_EQ(HeldOutErrors{}.held_out, -1);
}

// Without energy there is nothing to lose: weights of zeros, or held-out text that never reaches the linear.
TEST(HeldOut, NoEnergyIsNoError) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const PreparedHessian fit = prepare_hessian(hessian_of(correlated_inputs(rng, 200, kIn).view()), {.group_width = 32});
  const HeldOutErrors zeros = held_out_errors(Matrix<float>::zeros(3, kIn).view(), fit, Hessian(kIn), kSpec, {});
  EXPECT_EQ(zeros.fit, 0);
  EXPECT_EQ(zeros.held_out, 0);
}

// Half of the directions unseen, and held-out text with all of them: what is not seen must not be spent freely.
// Against that the very Hessian that is judged with: any damping only takes away from its fit.
TEST(HeldOut, FewTokensAskForMoreDamping) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Matrix<float> weight = normal_matrix(rng, 200, kIn);
  const Matrix<float> other = normal_matrix(rng, 40, kIn);
  const MatrixView<const float> weights[] = {weight.view(), other.view()};
  const Hessian held_out = hessian_of(normal_matrix(rng, 5000, kIn).view());
  Hessian few = hessian_of(normal_matrix(rng, kIn / 2, kIn).view());
  Hessian same = hessian_of(correlated_inputs(rng, 5000, kIn).view());
  Hessian same_again(kIn);
  same_again.sum = same.sum.clone();
  const double for_few = best_damping(weights, few, held_out, kSpec, {});
  const double for_same = best_damping(weights, same, same_again, kSpec, {});
  EXPECT_GT(for_few, for_same);
  EXPECT_GE(for_few, 0.03);
  EXPECT_LE(for_same, 0.01);
  for (const double damping : {for_few, for_same})
    EXPECT_NE(std::find(std::begin(kDampings), std::end(kDampings), damping), std::end(kDampings));
}

}  // namespace
}  // namespace hesse
