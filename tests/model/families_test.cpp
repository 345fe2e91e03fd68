// Every row of THE TABLE against the library that its models come from: logits, names, batches and caches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "hesse/error.h"
#include "model/reference.h"
#include "model/tensors.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const fs::path kDemo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";
constexpr uint64_t kSeed = 5;

// `noise`: relative size of random errors that are put on the residual stream in front of every block and of the head.
Matrix<float> logits_of(const Loaded& loaded, const std::vector<int32_t>& ids, double noise = 0,
                        uint64_t seed = kSeed) {
  Rng rng(seed);
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

// Float32 in another order of sums stays far below it; what it leaves out of sight, an argmax may still see.
constexpr double kTolerance = 2e-4;

double largest_of(const Matrix<float>& m) {
  double largest = 0;
  for (int64_t i = 0; i < m.size(); ++i) largest = std::max(largest, std::abs(double{m.data()[i]}));
  return largest;
}

void check_logits(const Matrix<float>& logits, const Reference& reference) {
  ASSERT_EQ(logits.cols(), reference.logits.cols());
  const double largest = largest_of(reference.logits);
  ASSERT_GT(largest, 0.1);
  double worst = 0;
  for (int64_t r = 0; r < reference.logits.rows(); ++r) {
    const int64_t row = reference.positions[static_cast<size_t>(r)];
    for (int64_t c = 0; c < logits.cols(); ++c)
      worst = std::max(worst, std::abs(double{logits(row, c)} - reference.logits(r, c)));
  }
  EXPECT_LE(worst, kTolerance * largest);
  for (size_t t = 0; t < reference.top.size(); ++t) {
    const float* row = logits.row(static_cast<int64_t>(t));
    EXPECT_GE(row[reference.top[t]], *std::max_element(row, row + logits.cols()) - 2 * kTolerance * largest) << t;
  }
  testing::Test::RecordProperty("worst_share_of_largest_logit", std::to_string(worst / largest));
}

std::string name_of(const testing::TestParamInfo<fs::path>& info) { return info.param.filename().string(); }

class Families : public testing::TestWithParam<fs::path> {
 protected:
  const fs::path& directory() const { return GetParam(); }
  Reference reference() const { return read_reference(directory() / "reference.safetensors"); }
};
INSTANTIATE_TEST_SUITE_P(, Families, testing::ValuesIn(reference_models()), name_of);

TEST_P(Families, LogitsAreThoseOfTheReference) {
  const Reference expected = reference();
  ASSERT_EQ(expected.ids.size(), 80u);
  check_logits(logits_of(Loaded(directory(), 80), expected.ids), expected);
}

// config.json in the words of today's transformers means the same model.
TEST_P(Families, TheConfigThatTransformersSavesMeansTheSame) {
  if (!fs::exists(directory() / "config.saved.json")) GTEST_SKIP() << "transformers does not know the family";
  const Reference expected = reference();
  check_logits(logits_of(Loaded(directory(), 80, ComputeType::kF32, "config.saved.json"), expected.ids), expected);
}

TEST_P(Families, LinearsHaveTheNamesOfTheReference) {
  const Loaded loaded(directory(), 80);
  const Json made = Json::parse(read_text_file(directory() / "reference.json"), "reference.json");
  std::vector<std::string> expected, linears;
  for (const Json& name : made.find("linears")->as_array("linears")) expected.push_back(name.as_string("linears"));
  for (const StageShape& stage : model_stages(loaded.model.config())) {
    for (const LinearShape& linear : stage.linears) linears.push_back(linear.name);
  }
  EXPECT_THAT(linears, testing::UnorderedElementsAreArray(expected));
}

// Nothing of the file is overlooked but what belongs to vision.
TEST_P(Families, EveryTensorIsRead) {
  const Loaded loaded(directory(), 80);
  const std::vector<std::string> names = tensor_names(loaded.model.config());
  const std::string text = loaded.model.config().whole_name("");
  for (const TensorView* tensor : loaded.checkpoint.tensors()) {
    const std::string& name = tensor->spec.name;
    if (loaded.model.config().is_part && !name.starts_with(text)) continue;
    if (loaded.source.packed_experts().reads(name)) continue;  // by its parts
    if (name.starts_with("visual.") || name.starts_with("model.visual.")) continue;
    EXPECT_TRUE(std::binary_search(names.begin(), names.end(), name)) << name;
  }
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
  double sensitivity = distance(logits_of(exact, ids, 0x1p-8), expected);
  // Where experts are chosen a small error may send a token elsewhere, or not: the worst of some draws.
  const int draws = exact.model.config().experts.count > 0 ? 16 : 1;
  for (int draw = 1; draw < draws; ++draw) {
    const Matrix<float> shaken = logits_of(exact, ids, 0x1p-8, kSeed + static_cast<uint64_t>(draw));
    sensitivity = std::max(sensitivity, distance(shaken, expected));
  }
  EXPECT_LE(error, 2 * sensitivity);
  EXPECT_GE(error, sensitivity / 16);
  testing::Test::RecordProperty("error_by_sensitivity", std::to_string(error / sensitivity));
}

TEST_P(Families, Bf16StaysWithinTheRoundingOfItsInputs) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  check_bf16_logits(directory(), reference().ids);
}

// All layers at once on `h`.
void run(const Model& model, const Batch& batch, MatrixView<float> h) {
  for (int64_t layer = 0; layer < model.config().layers; ++layer) model.block(layer).forward(batch, h);
}

// `prompt` tokens at once and the rest one by one, with a cache for each layer.
Matrix<float> run_with_caches(const Model& model, const std::vector<int32_t>& ids, int64_t prompt) {
  const int64_t length = static_cast<int64_t>(ids.size());
  const int64_t width = model.config().kv_heads * model.config().head_dim;
  Matrix<float> h(length, model.config().hidden);
  for (int64_t t = 0; t < length; t = std::max(prompt, t + 1)) {
    const int64_t count = t == 0 ? prompt : 1;
    const Matrix<float> rows =
        model.embed(std::span(ids).subspan(static_cast<size_t>(t), static_cast<size_t>(count)), {.first = t});
    std::copy_n(rows.data(), rows.size(), h.row(t));
  }
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
  Matrix<float> two = loaded.model.embed(twice, {.length = length});
  run(loaded.model, {.sequences = 2, .length = length}, two.view());
  const Matrix<float> steps = run_with_caches(loaded.model, ids, prompt);

  const double largest = largest_of(one);
  for (int64_t t = 0; t < length; ++t) {
    for (int64_t c = 0; c < one.cols(); ++c) {
      ASSERT_NEAR(two(t, c), one(t, c), 1e-5 * largest);
      ASSERT_NEAR(two(t + length, c), one(t, c), 1e-5 * largest);
      ASSERT_NEAR(steps(t, c), one(t, c), 1e-5 * largest);
    }
  }
}

// 80 tokens and windows of 9 and 20: a prompt within the window and one beyond it.
TEST_P(Families, BatchesAndCachesGiveTheSameHiddenStates) {
  check_batches_and_caches(directory(), reference().ids, 5);
  check_batches_and_caches(directory(), reference().ids, 43);
}

// A row without a reference would be a promise that nobody holds.
TEST(FamilyTable, EveryRowAndEveryWrapperHasAReference) {
  std::set<std::string_view> missing;
  for (const Family& family : families()) missing.insert(family.name);
  for (const Wrapper& wrapper : wrappers()) missing.insert(wrapper.model_type);
  for (const fs::path& directory : reference_models()) {
    const Json json = read_config_json(directory);
    missing.erase(parse_model_config(json, "t").family->name);
    if (const Wrapper* wrapper = find_wrapper(json.find("model_type")->as_string("t")))
      missing.erase(wrapper->model_type);
  }
  EXPECT_THAT(missing, testing::IsEmpty());
}

// The first row whose conditions hold is taken: none may hide the next one.
TEST(FamilyTable, OfRowsWithOneTypeOnlyTheLastHoldsAlways) {
  const std::span<const Family> rows = families();
  std::set<std::string_view> closed;
  for (const Family& row : rows) {
    for (const std::string_view type : row.model_types) EXPECT_EQ(closed.count(type), 0u) << row.name << ' ' << type;
    if (row.when.empty()) closed.insert(row.model_types.begin(), row.model_types.end());
    EXPECT_FALSE(row.notes.empty()) << row.name;
  }
}

TEST(DemoModel, LogitsAreThoseOfTheReference) {
  Reference reference = read_reference(kReferences / "tiny_llama.safetensors");
  for (int64_t row = 16; row < 48; ++row) reference.positions.push_back(row);  // the last positions only
  check_logits(logits_of(Loaded(kDemo, 48), reference.ids), reference);
}

TEST(DemoModel, Bf16StaysWithinTheRoundingOfItsInputs) {
  check_bf16_logits(kDemo, read_reference(kReferences / "tiny_llama.safetensors").ids);
}

TEST(DemoModel, BatchesAndCachesGiveTheSameHiddenStates) {
  std::vector<int32_t> ids = read_reference(kReferences / "tiny_llama.safetensors").ids;
  ids.resize(16);
  check_batches_and_caches(kDemo, ids, 5);
}

// Where a norm or a factor stands between a linear and the residual stream, its output is not added as it is.
TEST(Stages, OnlyPlainOutputsWriteIntoTheResidualStream) {
  const auto writers = [](const char* name) {
    std::vector<std::string> names;
    const ModelConfig config = parse_model_config(read_config_json(kReferences / name), "t");
    for (const StageShape& stage : layer_stages(config, 0)) {
      if (stage.writes_residual) names.emplace_back(stage.name);
    }
    return names;
  };
  EXPECT_EQ(writers("llama_plain"), (std::vector<std::string>{"o", "down"}));
  EXPECT_EQ(writers("gemma3_text"), std::vector<std::string>());
  EXPECT_EQ(writers("granite"), std::vector<std::string>());
  EXPECT_EQ(writers("opt_post_norm"), std::vector<std::string>());
  EXPECT_EQ(writers("phi"), (std::vector<std::string>{"o", "down"}));
}

// Where the MLP reads what attention reads, one Hessian serves all.
TEST(Stages, LinearsThatReadTheSameInputShareAStage) {
  const auto sizes = [](const char* name) {
    std::vector<size_t> counts;
    for (const StageShape& stage : layer_stages(parse_model_config(read_config_json(kReferences / name), "t"), 0))
      counts.push_back(stage.linears.size());
    return counts;
  };
  EXPECT_EQ(sizes("llama_plain"), (std::vector<size_t>{3, 1, 2, 1}));
  EXPECT_EQ(sizes("phi3"), (std::vector<size_t>{1, 1, 1, 1}));
  EXPECT_EQ(sizes("phi"), (std::vector<size_t>{4, 1, 1}));
  EXPECT_EQ(sizes("stablelm_parallel"), (std::vector<size_t>{5, 1, 1}));
  EXPECT_EQ(sizes("falcon"), (std::vector<size_t>{2, 1, 1}));
  EXPECT_EQ(sizes("falcon_40b"), (std::vector<size_t>{1, 1, 1, 1}));
}

TEST(Model, RefusesACheckpointWithoutOneOfItsNorms) {
  const fs::path directory = kReferences / "gemma3_text";
  const Checkpoint checkpoint(directory);
  const CheckpointSource source(checkpoint);
  ModelConfig config = parse_model_config(read_config_json(directory), "t");
  EXPECT_NO_THROW(Model(config, source, 1));
  Family family = *config.family;
  family.mlp_out_norm = "another_layernorm";
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
