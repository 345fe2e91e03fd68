// Data and weights that go wrong: the run goes on as far as that makes sense, and says what happened. On the demo
// model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/calibration.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/checkpoint.h"
#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/source.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

const fs::path kDemo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";
constexpr int64_t kHidden = 256;

std::vector<Trouble> troubles_in(const RunRecord& record) {
  std::vector<Trouble> all;
  for (const LinearRecord& linear : record.linears) {
    for (const Trouble trouble : troubles_of(linear)) all.push_back(trouble);
  }
  return all;
}

class Troubled : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hesse-trouble-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "model");
    for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"})
      fs::copy_file(kDemo / name, folder_ / "model" / name);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // The demo model with tensor `name` as float32, changed.
  void change_tensor(const std::string& name, const std::function<void(std::vector<float>&)>& change) const {
    const SafetensorsFile demo(kDemo / "model.safetensors");
    std::vector<TensorSpec> specs;
    for (const TensorView& tensor : demo.tensors()) {
      specs.push_back(tensor.spec);
      if (tensor.spec.name == name) specs.back().dtype = DType::kF32;
    }
    SafetensorsWriter writer(folder_ / "model/model.safetensors", layout_safetensors(specs));
    for (const TensorView& tensor : demo.tensors()) {
      if (tensor.spec.name != name) {
        writer.write(tensor.spec.name, tensor.bytes);
        continue;
      }
      std::vector<float> values(static_cast<size_t>(tensor.spec.elements()));
      convert_to_float(tensor, 0, tensor.spec.elements(), values.data());
      change(values);
      writer.write(name, std::as_bytes(std::span(values)));
    }
    writer.finish();
  }
  // An embedding so large that the residual stream cannot be used.
  void blow_up_token(int32_t token) const {
    change_tensor("model.embed_tokens.weight", [&](std::vector<float>& embeddings) {
      std::fill_n(embeddings.begin() + int64_t{token} * kHidden, kHidden, 1e25f);
    });
  }

  QuantizeOptions options() const {
    QuantizeOptions o;
    o.model = (folder_ / "model").string();
    o.output = (folder_ / "out").string();
    o.calibration = {(kDemo / "calibration.txt").string()};
    o.samples = 8;
    o.length = 64;
    o.compute = "f32";
    o.joint = 4;  // what is tested here does not depend on the last per cent
    o.sweeps = 1;
    o.overwrite = true;
    o.check = false;  // models that are damaged on purpose need not know their text
    return o;
  }
  static Windows windows_of(const QuantizeOptions& o) {
    return calibration_windows(o.calibration, kDemo, Tokenizer::from_directory(kDemo),
                               {.length = o.length, .count = o.samples, .seed = o.seed});
  }
  void expect_error(const QuantizeOptions& o, const testing::Matcher<std::string>& message) {
    try {
      quantize(o, quiet_);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
      EXPECT_THAT(std::string(error.what()), message);
    }
    EXPECT_FALSE(fs::exists(o.output));
  }
  double perplexity_of(const std::string& model) {
    EvalOptions o;
    o.model = model;
    o.text = {(kDemo / "heldout.txt").string()};
    o.window = 128;
    o.windows = 8;
    return evaluate(o, quiet_).perplexity;
  }

  fs::path folder_;
  Listener quiet_;
};

TEST_F(Troubled, SkippedModuleStaysAsItWas) {
  const std::string module = "model.layers.1.self_attn.o_proj";
  change_tensor(module + ".weight", [](std::vector<float>& w) { w[3 * kHidden + 5] = std::nanf(""); });
  QuantizeOptions o = options();
  expect_error(o, HasSubstr("'" + module + ".weight' has nan at row 3, column 5"));
  o.on_nonfinite = "skip-module";
  const RunRecord record = quantize(o, quiet_);
  EXPECT_EQ(record.fallbacks(), 1);
  const auto skipped = std::find_if(record.linears.begin(), record.linears.end(),
                                    [&](const LinearRecord& linear) { return linear.name == module; });
  ASSERT_NE(skipped, record.linears.end());
  EXPECT_EQ(skipped->status, LinearStatus::kSkipped);
  EXPECT_EQ(troubles_of(*skipped), std::vector<Trouble>{Trouble::kNonFiniteWeights});
  EXPECT_THAT(record.warnings, Contains(AllOf(HasSubstr(module), HasSubstr("not quantized"))));

  const Checkpoint result(o.output);
  EXPECT_EQ(result.find(module + ".qweight"), nullptr);
  EXPECT_NE(result.find("model.layers.0.self_attn.o_proj.qweight"), nullptr);
  const Checkpoint model(o.model);
  const TensorView &was = model.at(module + ".weight"), &is = result.at(module + ".weight");
  EXPECT_TRUE(std::equal(was.bytes.begin(), was.bytes.end(), is.bytes.begin(), is.bytes.end()));
  const Json config = Json::parse(read_text_file(fs::path(o.output) / "config.json"), "config.json");
  EXPECT_NE(
      config.find("quantization_config")->find("dynamic")->find_value("-:^model\\.layers\\.1\\.self_attn\\.o_proj$"),
      nullptr);

  o.strict = true;
  fs::remove_all(o.output);
  expect_error(o, AllOf(HasSubstr("[strict]"), HasSubstr(module)));
}

TEST_F(Troubled, OnlyALinearCanBeSkipped) {
  change_tensor("model.norm.weight", [](std::vector<float>& w) { w[7] = INFINITY; });
  QuantizeOptions o = options();
  o.on_nonfinite = "skip-module";
  expect_error(o, HasSubstr("'model.norm.weight' has inf at row 0, column 7"));
}

// The last token of the last window: nothing behind it in its sequence can be infected.
TEST_F(Troubled, TokensThatOverflowAreLeftOutAndCounted) {
  QuantizeOptions o = options();
  const Windows windows = windows_of(o);
  const int32_t token = windows.ids(7, 63);
  int64_t first = 0;
  while (windows.ids.data()[first] != token) ++first;
  blow_up_token(token);
  o.max_nonfinite = 0.9;
  const RunRecord record = quantize(o, quiet_);
  const int64_t all = windows.ids.size();
  int64_t most = 0;
  for (const LinearRecord& linear : record.linears) {
    EXPECT_EQ(linear.tokens + linear.tokens_left_out, all) << linear.name;
    EXPECT_TRUE(std::isfinite(linear.relative_error)) << linear.name;
    most = std::max(most, linear.tokens_left_out);
  }
  EXPECT_GE(most, std::count(windows.ids.data(), windows.ids.data() + all, token));
  EXPECT_LT(most, all);
  EXPECT_THAT(troubles_in(record), Contains(Trouble::kNonFiniteActivations));
  const std::string place = "sample " + std::to_string(first / 64) + ", token " + std::to_string(first % 64);
  EXPECT_THAT(record.warnings, Contains(HasSubstr(place)));
  EXPECT_EQ(record.fallbacks(), 0);

  o.max_nonfinite = 0;
  fs::remove_all(o.output);
  expect_error(o, AllOf(HasSubstr("[activations] layer 0"), HasSubstr(place), HasSubstr("--max-nonfinite 0")));
}

TEST_F(Troubled, OutputsThatAHalfCannotHoldAreNamed) {
  const std::string name = "model.layers.1.mlp.up_proj";
  change_tensor(name + ".weight", [](std::vector<float>& w) {
    for (float& value : w) value *= 3e4f;
  });
  const RunRecord record = quantize(options(), quiet_);
  for (const LinearRecord& linear : record.linears) {
    EXPECT_GT(linear.largest_output, 0) << linear.name;
    const bool huge = linear.largest_output > 3e4 || linear.largest_activation > 3e4;
    EXPECT_EQ(testing::Matches(Contains(Trouble::kNearOverflow))(troubles_of(linear)), huge) << linear.name;
    if (linear.name == name) {
      EXPECT_TRUE(huge);
    } else if (linear.layer == 0) {
      EXPECT_FALSE(huge) << linear.name;
    }
  }
}

TEST_F(Troubled, ALossThatIsTooHighEarlyStopsTheRun) {
  change_tensor("model.norm.weight", [](std::vector<float>&) {});
  QuantizeOptions o = options();
  o.max_early_loss = 1e-9;
  expect_error(o, AllOf(HasSubstr("[early loss] 'model.layers.0.self_attn.q_proj'"), HasSubstr("--max-early-loss")));
}

// One sequence of 64 tokens for 256 and 768 inputs.
TEST_F(Troubled, FewTokensAreNamedAndStillBetterThanRounding) {
  QuantizeOptions o = options();
  o.model = kDemo.string();
  o.samples = 1;
  o.bits = 3;
  const RunRecord record = quantize(o, quiet_);
  EXPECT_EQ(record.fallbacks(), 0);
  const std::vector<Trouble> troubles = troubles_in(record);
  EXPECT_EQ(std::count(troubles.begin(), troubles.end(), Trouble::kFewTokens), 42);
  EXPECT_THAT(trouble_text(Trouble::kFewTokens, record.linears.back()), HasSubstr("64 tokens for 768 channels"));
  for (const LinearRecord& linear : record.linears) EXPECT_LE(linear.effective_rank, 64 + 8);  // an estimate
  const double solved = perplexity_of(o.output);
  o.method = "rtn";
  o.scale_search = "minmax";
  quantize(o, quiet_);
  EXPECT_LT(solved, perplexity_of(o.output));
}

// Too little memory for all of H: diagonal blocks, which lose more than the whole but less than rounding.
TEST_F(Troubled, AWideInputIsCutIntoDiagonalBlocks) {
  QuantizeOptions o = options();
  o.model = kDemo.string();
  o.bits = 3;
  o.shift = o.residual = 0;
  const RunRecord whole = quantize(o, quiet_);
  o.hessian_memory = 8.0 * 768 * 768 / 2 / 1e9;  // half of what down_proj needs
  const RunRecord cut = quantize(o, quiet_);
  const auto down = [](const RunRecord& record) {
    return *std::find_if(record.linears.begin(), record.linears.end(),
                         [](const LinearRecord& linear) { return linear.in == 768; });
  };
  EXPECT_EQ(down(whole).hessian_blocks, 1);
  EXPECT_EQ(down(cut).hessian_blocks, 2);
  EXPECT_EQ(cut.linears.front().hessian_blocks, 1);
  EXPECT_LT(down(cut).relative_error, down(cut).rtn_relative_error);
  EXPECT_THAT(troubles_of(down(cut)), Contains(Trouble::kBlockDiagonal));
  o.shift = o.residual = 0.5;
  EXPECT_LT(down(quantize(o, quiet_)).relative_error, down(cut).rtn_relative_error);
}

TEST_F(Troubled, DampingByDataIsOneOfTheCandidates) {
  QuantizeOptions o = options();
  o.model = kDemo.string();
  o.samples = 10;
  o.damping = 0;
  const RunRecord record = quantize(o, quiet_);
  for (const LinearRecord& linear : record.linears) {
    EXPECT_TRUE(linear.damping >= 0.001 && linear.damping <= 0.1) << linear.name << ' ' << linear.damping;
    EXPECT_GT(linear.held_out_error, linear.fit_error);
  }
}

}  // namespace
}  // namespace hesse
