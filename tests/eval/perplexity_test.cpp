#include "eval/perplexity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>

#include "eval/attribution.h"
#include "eval/choices.h"
#include "eval/summary.h"
#include "hesse/error.h"
#include "model/source.h"

namespace hesse {
namespace {

const std::string kDemo = std::string(HESSE_SOURCE_DIR) + "/models/tiny-llama";
constexpr int64_t kLength = 48;

// The demo model with the MLP outputs of some layers scaled: a copy that differs where we know.
class ScaledSource : public CheckpointSource {
 public:
  ScaledSource(const Checkpoint& checkpoint, std::vector<std::pair<int, float>> scales)
      : CheckpointSource(checkpoint), scales_(std::move(scales)) {}
  ComputeMatrix linear_as(ComputeType type, std::string_view module, WeightLayout layout) const override {
    ComputeMatrix weight = CheckpointSource::linear_as(type, module, layout);
    for (const auto& [layer, factor] : scales_) {
      if (module != "model.layers." + std::to_string(layer) + ".mlp.down_proj") continue;
      float* values = weight.f32().data();
      for (int64_t i = 0; i < weight.size(); ++i) values[i] *= factor;
    }
    return weight;
  }

 private:
  std::vector<std::pair<int, float>> scales_;
};

struct Variant {
  explicit Variant(std::vector<std::pair<int, float>> scales)
      : source(checkpoint, std::move(scales)),
        model(parse_model_config(read_config_json(kDemo), "config.json"), source, 2 * kLength) {}
  Checkpoint checkpoint{kDemo};
  ScaledSource source;
  Model model;
};

Windows demo_windows(int64_t count) {
  return evaluation_windows({kDemo + "/heldout.txt"}, kDemo, {.length = kLength, .count = count});
}

const EvalProgress kSilent = [](double) {};

// Against itself a model has lost nothing; against another all of it is what the definitions say.
TEST(Predict, AgainstAReference) {
  const Variant original({}), changed({{1, 1.5f}});
  const Windows windows = demo_windows(6);
  ModelReference reference(original.model);
  const Model* const models[] = {&original.model, &changed.model};
  const auto all = predict(models, {.reference = &reference, .keep = {}}, windows, kSilent);
  ASSERT_EQ(all.size(), 2u);
  ASSERT_EQ(all[0].count(), 6 * (kLength - 1));
  for (const double kl : all[0].kl) EXPECT_EQ(kl, 0);
  EXPECT_EQ(all[0].loss, all[0].reference_loss);
  EXPECT_EQ(all[0].loss, all[1].reference_loss);
  for (const double kl : all[1].kl) EXPECT_GT(kl, 0);
  const EvalResult same = summarize(all[0], windows), other = summarize(all[1], windows);
  EXPECT_EQ(same.against->perplexity_ratio, 1);
  EXPECT_EQ(same.against->top1_agreement, 1);
  EXPECT_EQ(same.against->ratio_interval->low, 1);
  EXPECT_NEAR(other.against->perplexity_ratio, other.perplexity / other.against->perplexity, 1e-12);
  EXPECT_LT(other.against->top1_agreement, 1);
  EXPECT_LT(other.against->kl_median, other.against->kl_p99);
  EXPECT_LE(other.against->kl_interval->low, other.against->kl);
  EXPECT_GE(other.against->kl_interval->high, other.against->kl);
}

// The ranges hold every prediction once: their means make up the mean.
TEST(Predict, PositionsAddUpToTheMean) {
  const Variant original({});
  const Windows windows = demo_windows(5);
  const Model* const models[] = {&original.model};
  const EvalResult result = summarize(predict(models, {}, windows, kSilent)[0], windows);
  double sum = 0;
  int64_t next = 1;
  for (const PositionLoss& range : result.positions) {
    EXPECT_EQ(range.first, next);
    next = range.last + 1;
    sum += range.nll * static_cast<double>(range.last - range.first + 1);
    EXPECT_EQ(range.kl, -1);
  }
  EXPECT_EQ(next, kLength);
  EXPECT_NEAR(sum / static_cast<double>(kLength - 1), result.mean_nll, 1e-9);
  EXPECT_FALSE(result.against);
}

// The tokens of these windows are those of a stretch of the file, so their bytes are known.
TEST(Predict, BitsAreCountedByTheBytesOfTheText) {
  const Variant original({});
  const Windows windows = demo_windows(4);
  const Tokenizer tokenizer = Tokenizer::from_directory(kDemo);
  int64_t bytes = 0;
  for (int64_t w = 0; w < 4; ++w) {
    for (int64_t t = 1; t < kLength; ++t)
      bytes += static_cast<int64_t>(tokenizer.decode({&windows.ids(w, t), 1}, false).size());
  }
  EXPECT_EQ(windows.predicted_bytes, bytes);
  const Model* const models[] = {&original.model};
  const Predictions p = predict(models, {}, windows, kSilent)[0];
  const double bits = std::accumulate(p.loss.begin(), p.loss.end(), 0.0) / std::log(2.0);
  EXPECT_NEAR(summarize(p, windows).bits_per_byte, bits / static_cast<double>(bytes), 1e-9);
}

// One block is the culprit, and with it from the original there is nothing left.
TEST(Attribution, FindsTheBlockThatDiffers) {
  const Variant original({}), changed({{2, 1.7f}});
  const Attribution found = attribute(changed.model, original.model, demo_windows(2), kSilent);
  ASSERT_EQ(found.swapped.size(), static_cast<size_t>(original.model.config().layers));
  EXPECT_GT(found.kl, 1e-4);
  for (size_t layer = 0; layer < found.swapped.size(); ++layer) {
    if (layer == 2) {
      EXPECT_LT(found.swapped[layer], 1e-9);
    } else {
      EXPECT_NEAR(found.swapped[layer], found.kl, 1e-6 * found.kl) << layer;
    }
  }
}

// Two blocks: each swap equals an evaluation of the model with that one block whole.
TEST(Attribution, ASwapIsTheModelWithThatBlockWhole) {
  const Variant original({}), changed({{1, 1.4f}, {3, 0.6f}}), first_whole({{3, 0.6f}}), last_whole({{1, 1.4f}});
  const Windows windows = demo_windows(2);
  const Attribution found = attribute(changed.model, original.model, windows, kSilent);
  ModelReference reference(original.model);
  const Model* const models[] = {&changed.model, &first_whole.model, &last_whole.model};
  const auto all = predict(models, {.reference = &reference, .keep = {}}, windows, kSilent);
  const auto mean_kl = [&](size_t i) { return summarize(all[i], windows).against->kl; };
  EXPECT_NEAR(found.kl, mean_kl(0), 1e-5 * mean_kl(0));
  EXPECT_NEAR(found.swapped[1], mean_kl(1), 1e-5 * mean_kl(0));
  EXPECT_NEAR(found.swapped[3], mean_kl(2), 1e-5 * mean_kl(0));
}

// Sequences of many lengths in any order, against one at a time as a window of its own.
TEST(Choices, LossesOfEndsDoNotDependOnTheirCompany) {
  const Variant original({});
  const Windows windows = demo_windows(8);
  std::vector<ScoredEnd> ends;
  for (int64_t w = 0; w < 8; ++w) {
    const size_t length = static_cast<size_t>(w == 3 ? kLength : 5 + 7 * (w % 4));
    ends.push_back({{windows.ids.row(w), length}, 1 + w / 2});
  }
  const std::vector<double> together = end_losses(original.model, ends, kSilent);
  const Model* const models[] = {&original.model};
  for (size_t i = 0; i < ends.size(); ++i) {
    Windows one;
    one.ids = Matrix<int32_t>(1, static_cast<int64_t>(ends[i].ids.size()));
    std::copy(ends[i].ids.begin(), ends[i].ids.end(), one.ids.data());
    const std::vector<double> loss = predict(models, {}, one, kSilent)[0].loss;
    const double expected = std::accumulate(loss.begin() + (ends[i].begin - 1), loss.end(), 0.0);
    EXPECT_NEAR(together[i], expected, 1e-4 * expected) << i;
  }
}

}  // namespace
}  // namespace hesse
