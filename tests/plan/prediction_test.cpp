#include "plan/prediction.h"

#include <gtest/gtest.h>

#include "plan/published.h"
#include "plan/small_config.h"

namespace hesse {
namespace {

// Every rate one: a prediction is then a count.
MachineRates unit_rates() {
  MachineRates rates;
  rates.gemm = rates.gram = rates.cross = {{8, 8, 1.0}};
  rates.attention = rates.target = rates.copy_bytes = rates.fresh_bytes = rates.hash_bytes = 1;
  rates.prepare = {2, 0, 1};
  rates.solve = {1, 1, 0};
  rates.held_out_share = 0.5;
  return rates;
}

ModelConfig two_layers() {
  ModelConfig config = tiny_config();
  config.layers = 2;
  config.layer_attention.resize(2);
  return config;
}

double phase(const RunSeconds& run, const std::string& name) {
  for (const PhaseTime& phase : run.phases()) {
    if (phase.name == name) return phase.seconds;
  }
  return -1;
}

TEST(Rates, TheNextShapeInRatios) {
  const std::vector<ShapeRate> rates = {{64, 64, 1}, {64, 1024, 2}, {1024, 1024, 3}};
  EXPECT_EQ(rate_near(rates, 64, 64), 1);
  EXPECT_EQ(rate_near(rates, 100, 700), 2);
  EXPECT_EQ(rate_near(rates, 11008, 4096), 3);
}

TEST(Rates, GrowthGoesThroughBothPoints) {
  const Growth growth = Growth::through(1, {256, 256 * 3.0 + 65536 * 0.5}, {512, 512 * 3.0 + 262144 * 0.5});
  EXPECT_NEAR(growth.low, 3, 1e-9);
  EXPECT_NEAR(growth.high, 0.5, 1e-12);
  EXPECT_NEAR(growth.seconds(1024), 1024 * 3 + 1048576 * 0.5, 1e-6);
}

TEST(Rates, NoiseNeverMakesGrowthNegative) {
  const Growth slower = Growth::through(2, {100, 1.0}, {200, 0.5});  // the wider one was faster
  EXPECT_EQ(slower.high, 0);
  EXPECT_GT(slower.low, 0);
  EXPECT_NEAR(slower.seconds(200), 0.5, 1e-12);
  const Growth steep = Growth::through(1, {100, 1e-3}, {200, 1.0});
  EXPECT_EQ(steep.low, 0);
  EXPECT_NEAR(steep.seconds(200), 1.0, 1e-12);
}

TEST(Prediction, PhasesAddUp) {
  const RunSeconds run = predict_quantize(two_layers(), {.sequences = 8, .length = 16}, 1000, unit_rates());
  double sum = 0;
  for (const PhaseTime& phase : run.phases()) {
    EXPECT_GT(phase.seconds, 0) << phase.name;
    sum += phase.seconds;
  }
  EXPECT_NEAR(sum, run.total(), 1e-9 * sum);
}

// Without memory and overheads the time is the work.
TEST(Prediction, IsTheWorkOverTheRates) {
  MachineRates rates = unit_rates();
  rates.copy_bytes = rates.fresh_bytes = 1e30;
  const QuantizeSize size{.sequences = 8, .length = 16, .targets = {.shift = 0, .residual = 0}};
  const Work work = quantize_work(two_layers(), size);
  const RunSeconds run = predict_quantize(two_layers(), size, 1000, rates);
  EXPECT_NEAR(phase(run, "forward"), work.linears + work.attention, 1e-6);
  EXPECT_NEAR(phase(run, "hessian"), work.hessian, 1e-6);
  const Work eval = evaluation_work(two_layers(), 8, 16);
  EXPECT_NEAR(predict_evaluation(two_layers(), 8, 16, rates), eval.total(), 1e-6);
}

TEST(Prediction, TwoStreamsTakeLonger) {
  const QuantizeSize two{.sequences = 8, .length = 16};
  QuantizeSize one = two;
  one.targets = {.shift = 0, .residual = 0};
  const RunSeconds fast = predict_quantize(two_layers(), one, 1000, unit_rates());
  const RunSeconds slow = predict_quantize(two_layers(), two, 1000, unit_rates());
  for (const char* name : {"read", "forward", "hessian", "factor"}) EXPECT_GT(phase(slow, name), phase(fast, name));
  EXPECT_EQ(phase(slow, "solve"), phase(fast, "solve"));
}

TEST(Prediction, TrialsOfTheDampingCountAsFactors) {
  const QuantizeSize none{.sequences = 8, .length = 16};
  QuantizeSize five = none;
  five.trials = 5;
  const RunSeconds few = predict_quantize(two_layers(), none, 1000, unit_rates());
  const RunSeconds many = predict_quantize(two_layers(), five, 1000, unit_rates());
  EXPECT_GT(phase(many, "factor"), phase(few, "factor"));
  EXPECT_EQ(phase(many, "solve"), phase(few, "solve"));
}

TEST(Prediction, RowsThatGoTogether) {
  EXPECT_EQ(batch_rows({.sequences = 64, .length = 512}), 2048);
  EXPECT_EQ(batch_rows({.sequences = 2, .length = 512}), 1024);
  EXPECT_EQ(batch_rows({.sequences = 2, .length = 4096}), 4096);
  EXPECT_EQ(gram_rows({.sequences = 64, .length = 512}), 2048);
  EXPECT_EQ(gram_rows({.sequences = 64, .length = 128}), 512);
  EXPECT_EQ(gram_rows({.sequences = 4, .length = 512}), 2048);
  EXPECT_EQ(gram_rows({.sequences = 64, .length = 4096}), 2048);
}

// From config.json alone, families that cannot be run among them.
TEST(Prediction, OfPublishedModels) {
  const QuantizeSize size{.sequences = 128, .length = 512, .targets = {.shift = 0, .residual = 0}};
  MachineRates rates = unit_rates();
  rates.copy_bytes = rates.fresh_bytes = 1e30;
  for (const char* name : {"falcon-7b", "qwen1.5-110b", "llama-3.1-405b", "mixtral-8x7b", "deepseek-v3"}) {
    const ModelShapes model = published(name);
    const RunSeconds run = predict_quantize(model, size, 1000, rates);
    const Work work = quantize_work(model, size);
    EXPECT_NEAR(phase(run, "forward") / (work.linears + work.attention), 1, 1e-9) << name;
    EXPECT_NEAR(phase(run, "hessian") / work.hessian, 1, 1e-9) << name;
    for (const PhaseTime& p : run.phases()) EXPECT_GT(p.seconds, 0) << name << ' ' << p.name;
  }
}

class CountdownTest : public testing::Test {
 protected:
  const RunSeconds run_ = predict_quantize(two_layers(), {.sequences = 8, .length = 16}, 1000, unit_rates());
  const double total_ = run_.total();
  const double first_layer_ = run_.layers[0].total();
  Countdown countdown_{run_};
};

TEST_F(CountdownTest, BeginsWithThePrediction) { EXPECT_NEAR(countdown_.seconds_left(0, 0, 0), total_, 1e-9 * total_); }

TEST_F(CountdownTest, ScalesTheRestByWhatTheDonePartTook) {
  EXPECT_NEAR(countdown_.seconds_left(1, 0, 3 * first_layer_), 3 * (total_ - first_layer_), 1e-6 * total_);
}

// Between two steps the clock runs, and that alone says nothing about the pace.
TEST_F(CountdownTest, CountsDownBetweenSteps) {
  const double at_step = countdown_.seconds_left(1, 0, first_layer_);
  EXPECT_NEAR(countdown_.seconds_left(1, 0, first_layer_ + 5), at_step - 5, 1e-6 * total_);
  EXPECT_EQ(countdown_.seconds_left(1, 0, 1e12), 0);
}

TEST_F(CountdownTest, AtTheEndOnlyWhatFollowsTheLayersIsLeft) {
  const double layers = run_.layers[0].total() + run_.layers[1].total();
  EXPECT_NEAR(countdown_.seconds_left(1, 1, layers), run_.write + run_.verify + run_.hash, 1e-6 * total_);
}

// On a machine that keeps its rates the end that is foretold never moves, whatever the stages cost.
TEST_F(CountdownTest, OnAPredictableMachineTheEndStandsStill) {
  double elapsed = 0;
  for (int64_t layer = 0; layer < 2; ++layer) {
    elapsed += run_.layers[static_cast<size_t>(layer)].read;
    double weights = 0, all = 0;
    for (const StageSeconds& stage : run_.layers[0].stages) all += stage.weights;
    for (const StageSeconds& stage : run_.layers[static_cast<size_t>(layer)].stages) {
      elapsed += stage.total();
      weights += stage.weights;
      EXPECT_NEAR(elapsed + countdown_.seconds_left(layer, weights / all, elapsed), total_, 1e-6 * total_);
    }
  }
}

// A run that goes on: forward passes of what is solved behind the saved activations, all of the rest, and an end that
// stands still as that of a run in one piece does.
TEST_F(CountdownTest, WhatIsDoneBeforeCostsNoMoreThanItsForwardPass) {
  using enum StagePart;
  const std::vector<StagePart> all(run_.layers[0].stages.size(), kAll), none(all.size(), kNothing);
  RunSeconds rest = run_;
  std::vector<StagePart> second_parts = all;
  second_parts[0] = kForward;
  rest.keep({std::vector<StagePart>(all.size(), kForward), second_parts});
  const LayerSeconds& first = run_.layers[0];
  double expected = total_ - run_.layers[0].total() + first.read;
  for (const StageSeconds& stage : first.stages) expected += stage.forward;
  const StageSeconds& done = run_.layers[1].stages[0];
  expected -= done.hessian + done.factor + done.solve;
  EXPECT_NEAR(rest.total(), expected, 1e-6 * total_);

  rest = run_;
  rest.keep({none, all});
  EXPECT_NEAR(rest.total(), total_ - first_layer_, 1e-6 * total_);
  Countdown countdown(rest);
  EXPECT_NEAR(countdown.seconds_left(1, 0, 0), rest.total(), 1e-6 * total_);
  const double second = rest.layers[1].total();
  EXPECT_NEAR(countdown.seconds_left(1, 1, 2 * second), 2 * (rest.total() - second), 1e-6 * total_);

  rest.keep({none, none});
  EXPECT_NEAR(rest.total(), run_.write + run_.verify + run_.hash, 1e-6 * total_);
}

// In front of the first linear that is solved, both streams are still one.
TEST_F(CountdownTest, WhereTheStreamsAreOneTheForwardPassCostsHalf) {
  const size_t stages = run_.layers[0].stages.size();
  ASSERT_EQ(run_.streams, 2);
  RunSeconds once = run_;
  once.keep({std::vector<StagePart>(stages, StagePart::kOneStream), std::vector<StagePart>(stages, StagePart::kAll)});
  double forward = 0;
  for (const StageSeconds& stage : run_.layers[0].stages) forward += stage.forward;
  EXPECT_NEAR(once.layers[0].total(), run_.layers[0].read + forward / 2, 1e-9 * total_);
}

}  // namespace
}  // namespace hesse
