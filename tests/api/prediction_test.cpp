// Rates that are measured, and predictions that end in the record. How good they are is a matter for a quiet machine.
#include "plan/prediction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "api/machine_rates.h"
#include "hesse/api.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const std::string kDemo = std::string(HESSE_SOURCE_DIR) + "/models/tiny-llama";

void expect_rate(double rate, const char* what) {
  EXPECT_TRUE(std::isfinite(rate)) << what;
  EXPECT_GT(rate, 0) << what;
}

TEST(RateMeter, GivesRatesForEveryShapeOfAModel) {
  const ModelConfig demo = parse_model_config(read_config_json(kDemo), "config.json");
  const QuantizeSize size{.sequences = 8, .length = 64};
  const RateMeter meter(Care::kQuick);
  MachineRates rates = measure_products(meter, demo, size);
  measure_solver(meter, demo, {.bits = 4, .group_size = 64, .symmetric = true}, {.sweeps = 1}, rates);
  EXPECT_EQ(rates.gemm.size(), 4u);   // q and o; k and v; gate and up; down
  EXPECT_EQ(rates.gram.size(), 2u);   // 256 and 512, to which 768 was cut
  EXPECT_EQ(rates.cross.size(), 2u);  // input of 256, also that of o; down
  for (const auto* list : {&rates.gemm, &rates.gram, &rates.cross}) {
    for (const ShapeRate& rate : *list) {
      expect_rate(rate.flops_per_second, "product");
      EXPECT_LE(std::max(rate.out, rate.in), meter.longest_side());
    }
  }
  expect_rate(rates.attention, "attention");
  expect_rate(rates.target, "target");
  expect_rate(rates.copy_bytes, "copy");
  expect_rate(rates.fresh_bytes, "fresh");
  expect_rate(rates.hash_bytes, "hash");
  expect_rate(rates.held_out_share, "held out");
  for (const int64_t n : {64, 768, 11008}) {
    expect_rate(rates.solve.seconds(n), "solve");
    expect_rate(rates.prepare.seconds(n), "prepare");
  }
  expect_rate(predict_quantize(demo, size, 1 << 20, rates).total(), "seconds");
  expect_rate(predict_evaluation(demo, 8, 64, rates), "seconds");
}

// Group sizes that are wider than what is measured, whole rows and group sizes that fit nothing.
TEST(RateMeter, SolvesWithAnyGroupSize) {
  const RateMeter meter(Care::kQuick);
  for (const int64_t group_size : {-1, 1, 100, 4096}) {
    MachineRates rates;
    meter.solver({.bits = 3, .group_size = group_size, .symmetric = true}, {.joint_candidates = 1, .sweeps = 0}, 64,
                 rates);
    expect_rate(rates.solve.seconds(256), "solve");
  }
}

TEST(Bench, AMissingModelIsFoundBeforeAnythingIsMeasured) {
  BenchOptions options;
  options.model = "/nonexistent/model";
  Listener quiet;
  try {
    bench(options, quiet);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
  }
}

class PredictionListener : public Listener {
 public:
  void on_prediction(const Prediction& prediction) override { predicted.push_back(prediction); }
  void on_progress(const Progress& progress) override {
    // The checks may tell how far they are before anything can be predicted.
    if (!progress.what.starts_with("layer")) return;
    before_progress = before_progress && !predicted.empty();
    unknown = unknown || progress.seconds_left < 0;
  }
  std::vector<Prediction> predicted;
  bool before_progress = true;
  bool unknown = false;  // time that is left
};

class Predicted : public testing::Test {
 protected:
  void SetUp() override {
    options_.model = kDemo;
    options_.output = (fs::path(testing::TempDir()) / ("hesse-predicted-" + std::to_string(::getpid()))).string();
    options_.calibration = {kDemo + "/calibration.txt"};
    options_.samples = 8;
    options_.length = 64;
    options_.sweeps = 0;  // what the solver does is not the question
    options_.joint = 1;
  }
  void TearDown() override { fs::remove_all(options_.output); }

  QuantizeOptions options_;
  PredictionListener listener_;
};

TEST_F(Predicted, TheRecordHoldsWhatWasTold) {
  const RunRecord record = quantize(options_, listener_);
  ASSERT_EQ(listener_.predicted.size(), 1u);
  EXPECT_EQ(record.predicted_seconds, listener_.predicted[0].seconds);
  EXPECT_EQ(record.predicted_peak_memory_bytes, listener_.predicted[0].peak_memory_bytes);
  EXPECT_GT(record.predicted_seconds, 0);
  EXPECT_TRUE(listener_.before_progress);
  EXPECT_FALSE(listener_.unknown);  // from the first step on
  const ModelConfig demo = parse_model_config(read_config_json(kDemo), "config.json");
  EXPECT_EQ(record.work.total(), quantize_work(demo, {.sequences = 8, .length = 64}).total());
}

// Widths of 256 and 768: both are multiples of 128.
TEST_F(Predicted, TheRecordShowsTheGroupSizeThatWasTaken) {
  options_.group_size = 0;
  options_.method = "rtn";
  const RunRecord record = quantize(options_, listener_);
  EXPECT_EQ(record.options.group_size, 128);
  EXPECT_EQ(record.linears.front().group_size, 128);
}

TEST_F(Predicted, RoundingIsNotPredicted) {
  options_.method = "rtn";
  const RunRecord record = quantize(options_, listener_);
  EXPECT_THAT(listener_.predicted, testing::IsEmpty());
  EXPECT_EQ(record.predicted_seconds, -1);
  EXPECT_EQ(record.predicted_peak_memory_bytes, -1);
  EXPECT_EQ(record.work.solve, 0);
  EXPECT_GT(record.work.hessian, 0);  // its losses are measured
}

}  // namespace
}  // namespace hesse
