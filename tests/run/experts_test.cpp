// Quantizing a model with experts, one of which no token reaches and one of which a single token does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "base/rng.h"
#include "formats/format.h"
#include "hesse/api.h"
#include "io/test_files.h"
#include "run/random_calibration.h"
#include "run/resume_testing.h"
#include "run/small_experts.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

class Experts : public testing::Test {
 protected:
  void SetUp() override { SmallExperts::make(model()); }
  fs::path model() const { return folder_ / "model"; }
  fs::path output() const { return folder_ / "out"; }

  QuantizeOptions options(const std::string& flags = "") const {
    QuantizeOptions o = small_options(model(), output(), flags);
    o.group_size = 16;
    return o;
  }
  RunRecord run(const QuantizeOptions& o, Listener& listener, const std::string& flags = "") const {
    return quantize_with(o, listener, small_settings(has(flags, 's')));
  }
  RunRecord run(const QuantizeOptions& o) const {
    Listener listener;
    return run(o, listener);
  }
  static const LinearRecord& find(const RunRecord& record, const std::string& name) {
    for (const LinearRecord& linear : record.linears) {
      if (linear.name == name) return linear;
    }
    throw Error(ErrorKind::kInternal, name);
  }

  const TestDirectory folder_;
};

// Dequantized weights of the result against those of the model: the relative squared error of a linear.
double weight_error(const fs::path& model, const fs::path& result, const std::string& linear) {
  const Checkpoint before(model), after(result);
  const Json config = Json::parse(read_text_file(result / "config.json"), "config.json");
  const Json& quantization = *config.find("quantization_config");
  const Matrix<float> q = dequantize(format_of(&quantization)->read(after, linear, quantization));
  const Matrix<float> w = CheckpointSource(before).linear(linear);
  double error = 0, energy = 0;
  for (int64_t i = 0; i < w.size(); ++i) {
    error += std::pow(double{w.data()[i]} - q.data()[i], 2);
    energy += std::pow(double{w.data()[i]}, 2);
  }
  return error / energy;
}

TEST_F(Experts, OneThatNoTokenReachesIsRoundedAndNamed) {
  const RunRecord record = run(options());
  ASSERT_EQ(std::ssize(record.linears), SmallExperts::kLinears);
  for (const char* name : {"w1", "w3", "w2"}) {
    const std::string dead = SmallExperts::expert(0, SmallExperts::kDead, name);
    const LinearRecord& linear = find(record, dead);
    EXPECT_EQ(linear.status, LinearStatus::kUnreached) << name;
    EXPECT_EQ(linear.tokens, 0);
    EXPECT_EQ(linear.expert, SmallExperts::kDead);
    EXPECT_THAT(troubles_of(linear), testing::Contains(Trouble::kUnreachedExpert));
    EXPECT_EQ(linear.floored_scales, 0);
    // Four bits on groups of 16 random numbers: rounding costs about a hundredth of the energy, zeros all of it.
    EXPECT_LT(weight_error(model(), output(), dead), 0.03);
    EXPECT_GT(linear.relative_error, 0);
    EXPECT_LT(linear.relative_error, 0.03);
  }
  EXPECT_GE(record.fallbacks(), 3);
}

TEST_F(Experts, OneThatASingleTokenReachesIsSolved) {
  const RunRecord record = run(options());
  for (const char* name : {"w1", "w3", "w2"}) {
    const std::string rare = SmallExperts::expert(0, SmallExperts::kRare, name);
    const LinearRecord& linear = find(record, rare);
    EXPECT_EQ(linear.tokens, 1);
    EXPECT_LT(linear.status, LinearStatus::kFallback);
    EXPECT_LT(weight_error(model(), output(), rare), 0.05);
    EXPECT_LT(linear.relative_error, 0.03);
  }
}

TEST_F(Experts, EveryTokenIsCountedAsOftenAsItIsSent) {
  const RunRecord record = run(options());
  const std::vector<ExpertTokens> layers = expert_tokens(record);
  ASSERT_EQ(layers.size(), 2u);
  for (const ExpertTokens& layer : layers) {
    ASSERT_EQ(std::ssize(layer.tokens), SmallExperts::kExperts);
    int64_t sum = 0;
    for (const int64_t tokens : layer.tokens) sum += tokens;
    EXPECT_EQ(sum, 2 * record.calibration_tokens);
  }
  EXPECT_EQ(layers[0].tokens[SmallExperts::kDead], 0);
  EXPECT_EQ(layers[0].tokens[SmallExperts::kRare], 1);
  const Json json = Json::parse(read_text_file(output() / "hesse-run.json"), "record");
  EXPECT_EQ(json.find("experts")->as_array("experts")[0].find("tokens")->as_array("tokens").size(), 6u);
}

TEST_F(Experts, RoutersStayAsTheyAre) {
  run(options());
  const Checkpoint before(model()), after(output());
  for (const char* layer : {"0", "1"}) {
    const std::string router = std::string("model.layers.") + layer + ".block_sparse_moe.gate.weight";
    const TensorView &a = before.at(router), &b = after.at(router);
    EXPECT_TRUE(std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end()));
  }
}

TEST_F(Experts, StoppedAgainAndAgainGivesTheSame) {
  for (const char* flags : {"", "s"}) {
    Counter counter;
    run(options(), counter, flags);
    const auto expected = result_of(output());
    fs::remove_all(output());
    int64_t done = 0;
    while (done + kLargestUnit < SmallExperts::kLinears) {
      Counter some;
      some.stop_after = 7;
      try {
        run(options(), some, flags);
        break;
      } catch (const Error& error) {
        ASSERT_EQ(error.kind(), ErrorKind::kInterrupted) << error.what();
      }
      EXPECT_EQ(some.resumed.linears, done);
      done += some.solved;
    }
    if (!fs::exists(output())) run(options(), counter, flags);
    const auto found = result_of(output());
    for (const auto& [name, bytes] : expected) EXPECT_TRUE(found.count(name) == 1 && found.at(name) == bytes) << name;
    fs::remove_all(output());
  }
}

TEST_F(Experts, HessiansInBlocksHaveTheirSampleToo) {
  QuantizeOptions o = options();
  o.hessian_memory = 3e-6;  // GB: blocks of 16 inputs
  const RunRecord blocks = run(o);
  EXPECT_GT(find(blocks, SmallExperts::expert(0, 0, "w1")).hessian_blocks, 1);
  const std::string dead = SmallExperts::expert(0, SmallExperts::kDead, "w1");
  EXPECT_EQ(find(blocks, dead).status, LinearStatus::kUnreached);
  EXPECT_LT(weight_error(model(), output(), dead), 0.03);
}

TEST_F(Experts, Bfloat16ActivationsReachTheSameExperts) {
  QuantizeOptions o = options();
  o.compute = "bf16";
  const RunRecord record = run(o);
  const ExpertTokens first = expert_tokens(record).front();
  EXPECT_EQ(first.tokens[SmallExperts::kDead], 0);
  EXPECT_EQ(first.tokens[SmallExperts::kRare], 1);
  const std::string common = SmallExperts::expert(1, 0, "w2");
  EXPECT_LT(weight_error(model(), output(), common), 0.05);
}

TEST_F(Experts, WithoutCalibrationTextExpertsAreRounded) {
  const RunRecord record = run(options("r"));
  EXPECT_EQ(std::ssize(record.linears), SmallExperts::kLinears);
  EXPECT_EQ(record.fallbacks(), 0);
  EXPECT_LT(weight_error(model(), output(), SmallExperts::expert(1, 3, "w2")), 0.03);
}

TEST_F(Experts, TheResultIsStillAModel) {
  run(options());
  EvalOptions evaluation;
  evaluation.text = {model().string() + ".txt"};
  evaluation.window = 32;
  Listener listener;
  evaluation.model = model().string();
  const double before = evaluate(evaluation, listener).perplexity;
  evaluation.model = output().string();
  EXPECT_NEAR(std::log(evaluate(evaluation, listener).perplexity), std::log(before), 0.3);
}

// The rows of an expert, by hand: H = sum w^2 x x^T, and in / 4 tokens' worth of the sample's mean beside it.
TEST(ExpertHessian, IsWeighedByTheRouterAndShrunkToTheSample) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  Rng rng(test_seed());
  Calibration c(rng, 3, 4, 8);
  c.streams.quantized.x = normal_matrix(rng, 5, 8);
  const ExpertRows rows{{0, 2, 3, 7, 11}, {0.5f, 0.25f, 1.0f, 0.125f, 0.75f}};
  const Matrix<float> sample = normal_matrix(rng, 6, 8);
  const Intake intake{rows, sample.view()};
  const Collected collected = collect(c.job, c.stage, c.streams, &intake);
  EXPECT_EQ(collected.hessians.at(0).tokens, 5);
  EXPECT_FALSE(collected.unreached);
  const Matrix<float>& x = c.streams.quantized.x.f32();
  double squares = 0;
  for (const float w : rows.weights) squares += double{w} * w;
  for (int64_t i = 0; i < 8; ++i) {
    for (int64_t j = 0; j <= i; ++j) {
      double sum = 0, mean = 0;
      for (int64_t t = 0; t < 5; ++t) sum += std::pow(double{rows.weight(t)}, 2) * x(t, i) * x(t, j);
      for (int64_t t = 0; t < 6; ++t) mean += double{sample(t, i)} * sample(t, j) / 6;
      EXPECT_NEAR(collected.hessians[0](i, j), sum + 0.25 * 8 * squares / 5 * mean, 1e-5);
    }
  }
}

TEST(ExpertHessian, WithoutTokensIsThatOfTheSample) {
  Rng rng(test_seed());
  Calibration c(rng, 3, 4, 8);
  c.streams.quantized.x = Matrix<float>(0, 8);
  const ExpertRows nobody;
  Matrix<float> sample = normal_matrix(rng, 6, 8);
  sample(3, 2) = std::numeric_limits<float>::quiet_NaN();  // such a row does not count
  const Intake intake{nobody, sample.view()};
  const Collected collected = collect(c.job, c.stage, c.streams, &intake);
  EXPECT_TRUE(collected.unreached);
  double sum = 0;
  for (const int64_t t : {0, 1, 2, 4, 5}) sum += std::pow(double{sample(t, 1)}, 2) / 5;
  EXPECT_NEAR(collected.hessians.at(0)(1, 1), 0.25 * 8 * sum, 1e-5);
}

}  // namespace
}  // namespace hesse
