#include "eval/generate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <vector>

#include "io/checkpoint.h"

namespace hesse {
namespace {

TEST(Sampling, TemperatureZeroTakesTheFirstOfTheLargest) {
  Rng rng(1);
  const std::vector<float> logits = {0.5f, 3.0f, -1.0f, 3.0f};
  EXPECT_EQ(sample_token(logits, {.temperature = 0}, rng), 1);
}

// 100,000 draws: each frequency within 5 standard deviations of its probability.
TEST(Sampling, FrequenciesFollowTheSoftmaxAtTheTemperature) {
  const uint64_t seed = 99;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f};
  const double temperature = 0.8;
  std::vector<int> counts(4, 0);
  const int draws = 100000;
  for (int i = 0; i < draws; ++i) ++counts[sample_token(logits, {.temperature = temperature, .top_p = 1.0}, rng)];
  double sum = 0;
  for (const float l : logits) sum += std::exp(l / temperature);
  for (size_t i = 0; i < 4; ++i) {
    const double p = std::exp(logits[i] / temperature) / sum;
    EXPECT_NEAR(counts[i], draws * p, 5 * std::sqrt(draws * p * (1 - p))) << i;
  }
}

TEST(Sampling, TopPKeepsTheSmallestSufficientSet) {
  Rng rng(3);
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  for (int i = 0; i < 2000; ++i) {
    EXPECT_EQ(sample_token(logits, {.temperature = 1, .top_p = 0.4}, rng), 0);
    EXPECT_LE(sample_token(logits, {.temperature = 1, .top_p = 0.7}, rng), 1);
    EXPECT_LE(sample_token(logits, {.temperature = 1, .top_p = 0.9}, rng), 2);
  }
}

// A whole prompt at once and token by token end in the same logits.
TEST(Decoder, CacheDoesNotChangeTheLogits) {
  const Checkpoint checkpoint(std::filesystem::path(HESSE_SOURCE_DIR) / "models/tiny-llama");
  const CheckpointSource source(checkpoint);
  const Model model(parse_model_config(read_config_json(checkpoint.directory()), "config.json"), source, 12);
  const std::vector<int32_t> ids = {0, 300, 41, 7, 1999, 88, 5, 1024, 77, 2, 3, 4};
  const std::vector<float> at_once = Decoder(model, 12).next_logits(ids);
  Decoder decoder(model, 12);
  std::vector<float> stepped;
  for (const int32_t id : ids) stepped = decoder.next_logits({&id, 1});
  float largest = 0;
  for (const float l : at_once) largest = std::max(largest, std::abs(l));
  for (size_t i = 0; i < at_once.size(); ++i) ASSERT_NEAR(at_once[i], stepped[i], 1e-4f * largest);
}

}  // namespace
}  // namespace hesse
