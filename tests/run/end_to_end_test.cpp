// Whole runs through the front door, on the demo model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "api/open_model.h"
#include "data/calibration.h"
#include "hesse/api.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const fs::path kDemo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";

class EndToEnd : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hesse-run-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  QuantizeOptions options(const std::string& output) const {
    QuantizeOptions o;
    o.model = kDemo.string();
    o.output = (folder_ / output).string();
    o.calibration = {(kDemo / "calibration.txt").string()};
    o.samples = 8;
    o.length = 64;
    o.compute = "f32";  // the same on every processor
    return o;
  }

  fs::path folder_;
  Listener quiet_;
};

// Inputs of every stage, recomputed from the written file by running the quantized model itself.
double loss_from_file(const Matrix<float>& x, const Matrix<float>& original, const Matrix<float>& packed) {
  // tr(E H E^T) = sum over tokens of |E x|^2.
  double sum = 0;
  for (int64_t t = 0; t < x.rows(); ++t) {
    for (int64_t o = 0; o < original.rows(); ++o) {
      double y = 0;
      for (int64_t i = 0; i < x.cols(); ++i) y += double{x(t, i)} * (double{original(o, i)} - double{packed(o, i)});
      sum += y * y;
    }
  }
  return sum;
}

TEST_F(EndToEnd, ReportedLossesAreThoseOfTheWrittenFile) {
  QuantizeOptions o = options("out");
  o.shift = o.residual = 0;  // the target of every linear is then its weight in the file
  const RunRecord record = quantize(o, quiet_);
  ASSERT_EQ(record.linears.size(), 42u);
  std::map<std::string, const LinearRecord*> records;
  for (const LinearRecord& linear : record.linears) records[linear.name] = &linear;

  const OpenModel original = open_model(kDemo);
  const OpenModel result = open_model(o.output);
  EXPECT_EQ(result.format_name(), "gptq");
  const Windows windows =
      calibration_windows({(kDemo / "calibration.txt").string()}, kDemo, Tokenizer::from_directory(kDemo),
                          {.length = 64, .count = 8, .seed = o.seed});
  const Model model(result.config, *result.source, 64);
  const Batch batch{.sequences = windows.count(), .length = windows.length()};
  Matrix<float> h = model.embed({windows.ids.data(), static_cast<size_t>(windows.ids.size())});
  for (int64_t layer = 0; layer < 2; ++layer) {
    Block block = model.block(layer);
    ComputeMatrix x(block.compute(), h.rows(), block.stages().front().in());
    block.begin(h.view(), x.view());
    for (size_t s = 0; s < block.stages().size(); ++s) {
      for (const Linear& linear : block.stages()[s].linears) {
        const double expected = loss_from_file(x.f32(), original.source->linear(linear.name), linear.weight.f32());
        const double reported = records.at(linear.name)->loss * 64;  // samples squared
        // The Gram products are float32 over 512 tokens: 512 eps of sums that cancel by the ratio of energy to loss.
        const double slack = 512 * 0x1p-24 / std::max(1e-6, records.at(linear.name)->relative_error);
        EXPECT_NEAR(reported, expected, expected * std::min(0.01, slack)) << linear.name;
        EXPECT_LT(records.at(linear.name)->relative_error, records.at(linear.name)->rtn_relative_error) << linear.name;
      }
      const bool last = s + 1 == block.stages().size();
      ComputeMatrix next(block.compute(), last ? 0 : h.rows(), last ? 0 : block.stages()[s + 1].in());
      block.finish(static_cast<int64_t>(s), batch, x.view(), h.view(), next.view());
      x = std::move(next);
    }
  }
}

TEST_F(EndToEnd, TheSameInputsGiveTheSameBytes) {
  quantize(options("a"), quiet_);
  quantize(options("b"), quiet_);
  EXPECT_EQ(read_text_file(folder_ / "a/model.safetensors"), read_text_file(folder_ / "b/model.safetensors"));
  EXPECT_EQ(read_text_file(folder_ / "a/config.json"), read_text_file(folder_ / "b/config.json"));
}

TEST_F(EndToEnd, EveryWidthAndSymmetryComesBackFromTheDisk) {
  std::map<int, double> perplexity;
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      QuantizeOptions o = options("q");
      o.bits = bits;
      o.symmetric = symmetric;
      o.overwrite = true;
      o.group_size = symmetric ? 64 : -1;
      const RunRecord record = quantize(o, quiet_);
      EXPECT_EQ(record.format, symmetric ? "gptq" : "gptq_v2");
      EvalOptions e;
      e.model = o.output;
      e.text = {(kDemo / "heldout.txt").string()};
      e.window = 64;
      e.windows = 16;
      const EvalResult result = evaluate(e, quiet_);
      EXPECT_EQ(result.format, record.format);
      EXPECT_TRUE(std::isfinite(result.perplexity));
      if (symmetric) perplexity[bits] = result.perplexity;
    }
  }
  EXPECT_LT(perplexity[8], perplexity[4]);
  EXPECT_LT(perplexity[4], perplexity[3]);
  EXPECT_LT(perplexity[3], perplexity[2]);
}

TEST_F(EndToEnd, ShardsAndOtherFilesAreThere) {
  QuantizeOptions o = options("sharded");
  o.shard_size = 0.001;  // 1 MB
  quantize(o, quiet_);
  EXPECT_TRUE(fs::exists(folder_ / "sharded/model.safetensors.index.json"));
  EXPECT_FALSE(fs::exists(folder_ / "sharded/model.safetensors"));
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json", "README.md",
                           "quantize_config.json", "hesse-run.json", "hesse-report.html"}) {
    EXPECT_TRUE(fs::exists(folder_ / "sharded" / name)) << name;
  }
  EXPECT_EQ(read_text_file(folder_ / "sharded/tokenizer.json"), read_text_file(kDemo / "tokenizer.json"));
  const Checkpoint written(folder_ / "sharded");
  EXPECT_EQ(written.find("model.layers.0.mlp.up_proj.weight"), nullptr);
  EXPECT_NE(written.find("model.layers.0.mlp.up_proj.qweight"), nullptr);
  const Checkpoint source(kDemo);
  const std::string norm = "model.norm.weight";
  EXPECT_TRUE(std::ranges::equal(written.at(norm).bytes, source.at(norm).bytes));
  // config.json differs by quantization_config alone.
  Json config = Json::parse(read_text_file(kDemo / "config.json"), "t");
  const Json after = Json::parse(read_text_file(folder_ / "sharded/config.json"), "t");
  config.set("quantization_config", *after.find("quantization_config"));
  EXPECT_EQ(config.dump(), after.dump());
}

TEST_F(EndToEnd, RoundToNearestNeedsNoText) {
  QuantizeOptions o = options("rtn");
  o.method = "rtn";
  o.calibration.clear();
  const RunRecord record = quantize(o, quiet_);
  EXPECT_EQ(record.linears.size(), 42u);
  EXPECT_EQ(record.linears.front().relative_error, -1);
  EXPECT_EQ(open_model(o.output).format_name(), "gptq");
}

// Following the original model's activations brings the output closer to it: less KL divergence on unseen text. At 2
// and 3 bits the gain is far above the noise of 12,288 calibration tokens.
TEST_F(EndToEnd, FollowingTheOriginalStreamLowersKlDivergence) {
  EvalOptions e;
  e.text = {(kDemo / "heldout.txt").string()};
  e.window = 128;
  e.windows = 12;
  e.against = kDemo.string();
  for (const int bits : {2, 3}) {
    const auto kl = [&](double shift, double residual) {
      QuantizeOptions o = options("q");
      o.bits = bits;
      o.samples = 48;
      o.length = 256;
      o.shift = shift;
      o.residual = residual;
      o.overwrite = true;
      quantize(o, quiet_);
      e.model = o.output;
      return evaluate(e, quiet_).against->kl;
    };
    EXPECT_LT(kl(0.5, 0.5), 0.95 * kl(0, 0)) << bits << " bits";
  }
}

// A model does not differ from itself; a coarser copy differs more, and its reference is measured alongside.
TEST_F(EndToEnd, KlDivergenceGrowsAsBitsShrink) {
  EvalOptions e;
  e.text = {(kDemo / "heldout.txt").string()};
  e.window = 64;
  e.windows = 8;
  e.model = e.against = kDemo.string();
  const EvalResult same = evaluate(e, quiet_);
  ASSERT_TRUE(same.against.has_value());
  EXPECT_EQ(same.against->perplexity, same.perplexity);
  EXPECT_NEAR(same.against->kl, 0, 1e-9);
  EXPECT_EQ(same.against->top1_agreement, 1);
  double before = 0;
  for (const int bits : {8, 4, 2}) {
    QuantizeOptions o = options("q");
    o.bits = bits;
    o.overwrite = true;
    quantize(o, quiet_);
    e.model = o.output;
    const EvalResult result = evaluate(e, quiet_);
    EXPECT_EQ(result.against->perplexity, same.perplexity);
    EXPECT_GT(result.against->kl, before);
    EXPECT_LE(result.against->top1_agreement, same.against->top1_agreement);
    before = result.against->kl;
  }
}

// Rounding the inputs of the products to bfloat16 moves every loss a little and the result hardly.
TEST_F(EndToEnd, Bf16IsCloseToFloat32) {
  QuantizeOptions o = options("f32");
  o.samples = 32;
  const RunRecord exact = quantize(o, quiet_);
  EXPECT_EQ(exact.compute, "f32");
  o.output = (folder_ / "bf16").string();
  o.compute = "bf16";
  const RunRecord rounded = quantize(o, quiet_);
  EXPECT_EQ(rounded.compute, "bf16");
  EXPECT_EQ(rounded.compute_reason, "asked");
  EXPECT_EQ(rounded.fallbacks(), 0);
  ASSERT_EQ(rounded.linears.size(), exact.linears.size());
  for (size_t i = 0; i < exact.linears.size(); ++i) {
    const LinearRecord& a = exact.linears[i];
    const LinearRecord& b = rounded.linears[i];
    EXPECT_NEAR(b.relative_error, a.relative_error, 0.1 * a.relative_error) << a.name;
    EXPECT_NE(b.relative_error, a.relative_error) << a.name;
    EXPECT_LT(b.relative_error, b.rtn_relative_error) << a.name;
  }
  EvalOptions e;
  e.text = {(kDemo / "heldout.txt").string()};
  e.window = 128;
  e.windows = 8;
  e.against = kDemo.string();
  const auto kl = [&](const std::string& model) {
    e.model = model;
    return evaluate(e, quiet_).against->kl;
  };
  const double expected = kl((folder_ / "f32").string());
  EXPECT_NEAR(kl(o.output), expected, 0.2 * expected);
}

TEST_F(EndToEnd, EvaluationAndGenerationRunInBf16) {
  EvalOptions e;
  e.model = kDemo.string();
  e.text = {(kDemo / "heldout.txt").string()};
  e.window = 64;
  e.windows = 8;
  const EvalResult exact = evaluate(e, quiet_);
  EXPECT_EQ(exact.compute, "f32");
  e.compute = "bf16";
  const EvalResult rounded = evaluate(e, quiet_);
  EXPECT_EQ(rounded.compute, "bf16");
  EXPECT_NE(rounded.mean_nll, exact.mean_nll);
  EXPECT_NEAR(rounded.mean_nll, exact.mean_nll, 0.01);
  GenerateOptions g;
  g.model = kDemo.string();
  g.prompt = "The database server";
  g.max_tokens = 4;
  g.temperature = 0;
  g.compute = "bf16";
  EXPECT_FALSE(generate(g, quiet_).text.empty());
}

class StopAfter : public Listener {
 public:
  explicit StopAfter(int linears) : left_(linears) {}
  void on_linear(const LinearRecord&) override { --left_; }
  bool stop_requested() override { return left_ <= 0; }

 private:
  int left_;
};

TEST_F(EndToEnd, StoppingKeepsWhatIsDone) {
  StopAfter listener(5);
  try {
    quantize(options("stopped"), listener);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInterrupted);
    EXPECT_THAT(error.what(), testing::HasSubstr("6 of 42 linears are safe in "));  // q, k, v, o, gate and up
  }
  EXPECT_FALSE(fs::exists(folder_ / "stopped"));
  const RunRecord record = quantize(options("stopped"), quiet_);
  EXPECT_EQ(record.linears.size(), 42u);
  EXPECT_EQ(record.resumed, 1);
  quantize(options("whole"), quiet_);
  for (const char* name : {"model.safetensors", "config.json"}) {
    EXPECT_EQ(read_text_file(folder_ / "stopped" / name), read_text_file(folder_ / "whole" / name));
  }
  EXPECT_FALSE(fs::exists(folder_ / "stopped.hesse-work"));
}

TEST_F(EndToEnd, AQuantizedModelIsNotQuantizedAgain) {
  quantize(options("once"), quiet_);
  QuantizeOptions o = options("twice");
  o.model = (folder_ / "once").string();
  try {
    quantize(o, quiet_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("quantized already"));
  }
}

TEST_F(EndToEnd, GenerationIsTheSameForTheSameSeed) {
  GenerateOptions o;
  o.model = kDemo.string();
  o.prompt = "The database server";
  o.compute = "f32";
  o.max_tokens = 12;
  o.seed = 5;
  const GenerateResult a = generate(o, quiet_);
  const GenerateResult b = generate(o, quiet_);
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.prompt_ids.front(), 0);  // the tokenizer's template puts BOS in front
  o.temperature = 0;
  EXPECT_THAT(generate(o, quiet_).text, testing::HasSubstr("is a PostgreSQL database"));  // the model card's sample
}

}  // namespace
}  // namespace hesse
