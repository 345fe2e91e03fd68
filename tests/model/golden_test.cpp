// Logits of transformers in float32 (tools/make_golden.py made the files) against our forward pass.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "model/model.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(HESSE_SOURCE_DIR) / "tests/data/golden";

struct Golden {
  std::vector<int32_t> ids;
  Matrix<float> logits;  // [ids, vocab]
};

Golden read_golden(const fs::path& path) {
  const SafetensorsFile file(path);
  Golden golden;
  for (const TensorView& tensor : file.tensors()) {
    if (tensor.spec.name == "ids") {
      std::vector<int64_t> ids(static_cast<size_t>(tensor.spec.elements()));
      std::memcpy(ids.data(), tensor.bytes.data(), tensor.bytes.size());
      golden.ids.assign(ids.begin(), ids.end());
    } else if (tensor.spec.name == "logits") {
      golden.logits = Matrix<float>(tensor.spec.shape.at(0), tensor.spec.shape.at(1));
      std::memcpy(golden.logits.data(), tensor.bytes.data(), tensor.bytes.size());
    }
  }
  return golden;
}

struct Loaded {
  Checkpoint checkpoint;
  CheckpointSource source;
  Model model;
  Loaded(const fs::path& directory, int64_t positions)
      : checkpoint(directory),
        source(checkpoint),
        model(parse_model_config(read_config_json(directory), directory.filename().string()), source, positions) {}
};

// 1e-3 of the largest logit is what is promised; float32 in another order of sums stays far below it.
constexpr double kTolerance = 1e-3;

void check_logits(const fs::path& directory, const Golden& golden) {
  ASSERT_GT(golden.ids.size(), 8u);
  const Loaded loaded(directory, static_cast<int64_t>(golden.ids.size()));
  Matrix<float> h = loaded.model.embed(golden.ids);
  for (int64_t layer = 0; layer < loaded.model.config().layers; ++layer) {
    loaded.model.block(layer).forward({.sequences = 1, .length = h.rows()}, h.view());
  }
  const Matrix<float> logits = loaded.model.head().logits(h.view());
  ASSERT_EQ(logits.cols(), golden.logits.cols());
  double largest = 0, worst = 0;
  const int64_t skipped = logits.rows() - golden.logits.rows();  // the file may hold the last positions only
  for (int64_t r = 0; r < golden.logits.rows(); ++r) {
    for (int64_t c = 0; c < logits.cols(); ++c) {
      largest = std::max(largest, std::abs(double{golden.logits(r, c)}));
      worst = std::max(worst, std::abs(double{logits(r + skipped, c)} - golden.logits(r, c)));
    }
  }
  ASSERT_GT(largest, 0.1);
  EXPECT_LE(worst, kTolerance * largest);
  testing::Test::RecordProperty("worst_share_of_largest_logit", std::to_string(worst / largest));
}

TEST(Golden, DemoModel) {
  check_logits(fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama", read_golden(kGolden / "tiny_llama.safetensors"));
}

TEST(Golden, EveryVariantOfTheLlamaBlock) {
  int variants = 0;
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    check_logits(entry.path(), read_golden(entry.path() / "golden.safetensors"));
    ++variants;
  }
  EXPECT_GE(variants, 6);
}

// The same tokens in one batch, as two sequences, and one by one with a cache.
TEST(Golden, BatchesAndCacheGiveTheSameHiddenStates) {
  const Golden golden = read_golden(kGolden / "tiny_llama.safetensors");
  const std::vector<int32_t> ids(golden.ids.begin(), golden.ids.begin() + 16);
  const Loaded loaded(fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama", 16);
  const Block block = loaded.model.block(0);
  Matrix<float> one = loaded.model.embed(ids);
  block.forward({.sequences = 1, .length = 16}, one.view());

  std::vector<int32_t> twice(ids);
  twice.insert(twice.end(), ids.begin(), ids.end());
  Matrix<float> two = loaded.model.embed(twice);
  block.forward({.sequences = 2, .length = 16}, two.view());

  const int64_t width = loaded.model.config().kv_heads * loaded.model.config().head_dim;
  KvCache cache{Matrix<float>(16, width), Matrix<float>(16, width), 0};
  Matrix<float> steps = loaded.model.embed(ids);
  block.forward({.sequences = 1, .length = 5, .cache = &cache}, steps.view().row_range(0, 5));
  for (int64_t t = 5; t < 16; ++t) {
    block.forward({.sequences = 1, .length = 1, .cache = &cache}, steps.view().row_range(t, 1));
  }
  EXPECT_EQ(cache.length, 16);

  double largest = 0;
  for (int64_t i = 0; i < one.size(); ++i) largest = std::max(largest, std::abs(double{one.data()[i]}));
  for (int64_t t = 0; t < 16; ++t) {
    for (int64_t c = 0; c < one.cols(); ++c) {
      ASSERT_NEAR(two(t, c), one(t, c), 1e-5 * largest);
      ASSERT_NEAR(two(t + 16, c), one(t, c), 1e-5 * largest);
      ASSERT_NEAR(steps(t, c), one(t, c), 1e-5 * largest);
    }
  }
}

}  // namespace
}  // namespace hesse
