// Logits of transformers in float32 (tools/make_golden.py made the files) against our forward pass.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rng.h"
#include "hesse/error.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "model/model.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(HESSE_SOURCE_DIR) / "tests/data/golden";

constexpr uint64_t kSeed = 5;

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
  Loaded(const fs::path& directory, int64_t positions, ComputeType compute = ComputeType::kF32)
      : checkpoint(directory),
        source(checkpoint),
        model(parse_model_config(read_config_json(directory), directory.filename().string()), source, positions,
              compute) {}
};

// `noise`: relative size of random errors that are put on the residual stream in front of every block and of the head.
Matrix<float> logits_of(const Loaded& loaded, const std::vector<int32_t>& ids, double noise = 0) {
  Rng rng(kSeed);
  Matrix<float> h = loaded.model.embed(ids);
  const auto shake = [&] {
    for (int64_t i = 0; noise != 0 && i < h.size(); ++i) h.data()[i] *= static_cast<float>(1 + noise * rng.normal());
  };
  for (int64_t layer = 0; layer < loaded.model.config().layers; ++layer) {
    shake();
    loaded.model.block(layer).forward({.sequences = 1, .length = h.rows()}, h.view());
  }
  shake();
  return loaded.model.head().logits(h.view());
}

// 1e-3 of the largest logit is what is promised; float32 in another order of sums stays far below it.
constexpr double kTolerance = 1e-3;

void check_logits(const fs::path& directory, const Golden& golden) {
  ASSERT_GT(golden.ids.size(), 8u);
  const Matrix<float> logits = logits_of(Loaded(directory, static_cast<int64_t>(golden.ids.size())), golden.ids);
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

TEST(Golden, EveryVariantOfTheBlock) {
  int variants = 0;
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    check_logits(entry.path(), read_golden(entry.path() / "golden.safetensors"));
    ++variants;
  }
  EXPECT_GE(variants, 12);
}

// Root mean square of a - b.
double distance(const Matrix<float>& a, const Matrix<float>& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) sum += std::pow(double{a.data()[i]} - b.data()[i], 2);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

// Rounding puts a relative error of at most 2^-9 on each input of a linear and on each weight, in the mean a third of
// that. What such errors do to the logits, the model says itself: float32 with random relative errors of 2^-8 on the
// residual stream in front of every block. Less than a sixteenth of it, and nothing was rounded.
void check_bf16_logits(const fs::path& directory, const std::vector<int32_t>& ids) {
  const int64_t length = static_cast<int64_t>(ids.size());
  const Loaded exact(directory, length), rounded(directory, length, ComputeType::kBF16);
  const Matrix<float> expected = logits_of(exact, ids);
  const double error = distance(logits_of(rounded, ids), expected);
  const double sensitivity = distance(logits_of(exact, ids, 0x1p-8), expected);
  EXPECT_LE(error, sensitivity);
  EXPECT_GE(error, sensitivity / 16);
  testing::Test::RecordProperty(directory.filename().string(), std::to_string(error / sensitivity));
}

TEST(Golden, Bf16StaysWithinTheRoundingOfItsInputs) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  check_bf16_logits(fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama",
                    read_golden(kGolden / "tiny_llama.safetensors").ids);
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    check_bf16_logits(entry.path(), read_golden(entry.path() / "golden.safetensors").ids);
  }
}

// All layers at once on `h`.
void run(const Model& model, const Batch& batch, MatrixView<float> h) {
  for (int64_t layer = 0; layer < model.config().layers; ++layer) model.block(layer).forward(batch, h);
}

// `prompt` tokens at once and the rest one by one, with a cache for each layer.
Matrix<float> run_with_caches(const Model& model, const std::vector<int32_t>& ids, int64_t prompt) {
  const int64_t length = static_cast<int64_t>(ids.size());
  const int64_t width = model.config().kv_heads * model.config().head_dim;
  Matrix<float> h = model.embed(ids);
  for (int64_t layer = 0; layer < model.config().layers; ++layer) {
    const Block block = model.block(layer);
    KvCache cache{Matrix<float>(length, width), Matrix<float>(length, width), 0};
    block.forward({.sequences = 1, .length = prompt, .cache = &cache}, h.view().row_range(0, prompt));
    for (int64_t t = prompt; t < length; ++t) {
      block.forward({.sequences = 1, .length = 1, .cache = &cache}, h.view().row_range(t, 1));
    }
    EXPECT_EQ(cache.length, length);
  }
  return h;
}

// The same tokens in one batch, as two sequences, and one by one behind a prompt.
void check_batches_and_caches(const fs::path& directory, const std::vector<int32_t>& ids, int64_t prompt) {
  const int64_t length = static_cast<int64_t>(ids.size());
  const Loaded loaded(directory, length);
  Matrix<float> one = loaded.model.embed(ids);
  run(loaded.model, {.sequences = 1, .length = length}, one.view());

  std::vector<int32_t> twice(ids);
  twice.insert(twice.end(), ids.begin(), ids.end());
  Matrix<float> two = loaded.model.embed(twice);
  run(loaded.model, {.sequences = 2, .length = length}, two.view());
  const Matrix<float> steps = run_with_caches(loaded.model, ids, prompt);

  double largest = 0;
  for (int64_t i = 0; i < one.size(); ++i) largest = std::max(largest, std::abs(double{one.data()[i]}));
  for (int64_t t = 0; t < length; ++t) {
    for (int64_t c = 0; c < one.cols(); ++c) {
      ASSERT_NEAR(two(t, c), one(t, c), 1e-5 * largest);
      ASSERT_NEAR(two(t + length, c), one(t, c), 1e-5 * largest);
      ASSERT_NEAR(steps(t, c), one(t, c), 1e-5 * largest);
    }
  }
}

TEST(Golden, BatchesAndCacheGiveTheSameHiddenStates) {
  std::vector<int32_t> ids = read_golden(kGolden / "tiny_llama.safetensors").ids;
  ids.resize(16);
  check_batches_and_caches(fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama", ids, 5);
}

// 40 tokens and a window of 9: a prompt within the window and one beyond it.
TEST(Golden, BatchesAndCacheGiveTheSameHiddenStatesBehindAWindow) {
  const fs::path directory = kGolden / "gemma3_plain";
  const std::vector<int32_t> ids = read_golden(directory / "golden.safetensors").ids;
  check_batches_and_caches(directory, ids, 5);
  check_batches_and_caches(directory, ids, 23);
}

// Where a norm stands between a linear and the residual stream, its output is not added as it is.
TEST(Stages, OnlyPlainOutputsWriteIntoTheResidualStream) {
  const auto writers = [](const fs::path& directory) {
    std::vector<std::string> names;
    const ModelConfig config = parse_model_config(read_config_json(directory), "t");
    for (const StageShape& stage : layer_stages(config, 0)) {
      if (stage.writes_residual) names.emplace_back(stage.name);
    }
    return names;
  };
  EXPECT_EQ(writers(kGolden / "llama_plain"), (std::vector<std::string>{"o", "down"}));
  EXPECT_EQ(writers(kGolden / "gemma3_plain"), std::vector<std::string>());
}

TEST(Model, RefusesACheckpointWithoutOneOfItsNorms) {
  const fs::path directory = kGolden / "gemma3_plain";
  const Checkpoint checkpoint(directory);
  const CheckpointSource source(checkpoint);
  ModelConfig config = parse_model_config(read_config_json(directory), "t");
  EXPECT_NO_THROW(Model(config, source, 1));
  Family family = *config.family;
  family.mlp_out_norm = "another_layernorm.weight";
  config.family = &family;
  try {
    const Model model(config, source, 1);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("model.layers.0.another_layernorm.weight"));
  }
}

}  // namespace
}  // namespace hesse
