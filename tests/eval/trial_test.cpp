#include "eval/trial.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "data/windows.h"
#include "eval/perplexity.h"
#include "eval/statistics.h"

namespace hesse {
namespace {

const std::string kDemo = std::string(HESSE_SOURCE_DIR) + "/models/tiny-llama";

struct Demo {
  Checkpoint checkpoint{kDemo};
  CheckpointSource source{checkpoint};
  Model model{parse_model_config(read_config_json(kDemo), "config.json"), source, 64};
  Windows windows = evaluation_windows({kDemo + "/heldout.txt"}, kDemo, {.length = 64, .count = 3});

  std::vector<std::vector<int32_t>> sequences() const {
    std::vector<std::vector<int32_t>> rows;
    for (int64_t r = 0; r < windows.count(); ++r) rows.emplace_back(windows.ids.row(r), windows.ids.row(r) + 64);
    return rows;
  }
};

// The head in slices and the layers one by one give what the evaluation gives.
TEST(Trial, EqualsTheEvaluation) {
  const Demo demo;
  const std::vector<double> losses =
      trial_losses(demo.model, demo.source, demo.sequences(), [](double) { return true; });
  ASSERT_EQ(losses.size(), 3u);
  const Model* const models[] = {&demo.model};
  const double expected = mean_of(predict(models, {}, demo.windows, [](double) {})[0].loss);
  // Sums of 256 to 768 products in another order, 12 matrices deep.
  EXPECT_NEAR((losses[0] + losses[1] + losses[2]) / 3, expected, 1e-4 * expected);
}

TEST(Trial, EndsWhereItIsTold) {
  const Demo demo;
  int steps = 0;
  const auto losses = trial_losses(demo.model, demo.source, demo.sequences(), [&](double) { return ++steps < 2; });
  EXPECT_TRUE(losses.empty());
  EXPECT_EQ(steps, 2);
}

}  // namespace
}  // namespace hesse
