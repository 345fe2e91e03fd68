#include "model/padded_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hesse/error.h"
#include "io/file.h"
#include "model/mlp.h"
#include "model/reference.h"
#include "model/tensors.h"

namespace hesse {
namespace {

using testing::HasSubstr;

struct Opened {
  Json json;
  Checkpoint checkpoint;
  ModelConfig config;
  explicit Opened(const std::string& name)
      : json(Json::parse(read_text_file(kReferences / name / "config.json"), "config.json")),
        checkpoint(kReferences / name),
        config(choose_scheme(parse_model_config(json, "config.json"), CheckpointSource(checkpoint))) {}
};

// One gated MLP and one of each other kind, and a family whose plain weights lie [in, out].
TEST(PaddedSource, LinearsHaveTheirZeroChannels) {
  for (const std::string name : {"llama_biases", "phi3", "gpt2", "falcon", "gemma3"}) {
    SCOPED_TRACE(name);
    const Opened o(name);
    const int64_t narrow = o.config.intermediate, wide = narrow + 24;
    const PaddedSource padded(o.checkpoint, o.config, wide);
    const CheckpointSource plain(o.checkpoint);
    ModelConfig wider = o.config;
    wider.intermediate = wide;
    EXPECT_TRUE(tensor_problems(wider, padded).empty());
    EXPECT_FALSE(tensor_problems(o.config, padded).empty());
    const auto layout = layout_of_linears(o.config);
    for (const LinearShape& linear : mlp_inputs(wider, 1)) {
      const Matrix<float> before = std::move(plain.linear_as(ComputeType::kF32, linear.name, layout).f32());
      const Matrix<float> after = std::move(padded.linear_as(ComputeType::kF32, linear.name, layout).f32());
      ASSERT_EQ(after.rows(), linear.out);
      for (int64_t r = 0; r < after.rows(); ++r) {
        const int64_t channel = r % wide, from = r / wide * narrow + channel;
        for (int64_t c = 0; c < after.cols(); ++c)
          ASSERT_EQ(after(r, c), channel < narrow ? before(from, c) : 0.0f) << r << ' ' << c;
      }
    }
    const LinearShape down = mlp_output(wider, 1);
    const Matrix<float> before = std::move(plain.linear_as(ComputeType::kF32, down.name, layout).f32());
    const Matrix<float> after = std::move(padded.linear_as(ComputeType::kF32, down.name, layout).f32());
    ASSERT_EQ(after.cols(), wide);
    for (int64_t r = 0; r < after.rows(); ++r) {
      for (int64_t c = 0; c < wide; ++c) ASSERT_EQ(after(r, c), c < narrow ? before(r, c) : 0.0f);
    }
  }
}

// What is copied into a file is what linear_as() reads.
TEST(PaddedSource, BytesOfTensorsAreThoseThatAreRead) {
  for (const std::string name : {"llama_biases", "phi3", "gpt2"}) {
    SCOPED_TRACE(name);
    const Opened o(name);
    const PaddedSource padded(o.checkpoint, o.config, o.config.intermediate + 8);
    for (const TensorView* tensor : o.checkpoint.tensors()) {
      const TensorSpec spec = padded.spec(*tensor);
      const std::vector<std::byte> bytes = padded.bytes(*tensor);
      ASSERT_EQ(static_cast<int64_t>(bytes.size()), spec.bytes()) << spec.name;
      if (spec.shape.size() != 2 || !spec.name.ends_with(".weight")) continue;
      const TensorView view{spec, bytes};
      Matrix<float> stored(spec.shape[0], spec.shape[1]);
      convert_to_float(view, 0, stored.size(), stored.data());
      const std::string module = spec.name.substr(0, spec.name.size() - 7);
      const bool linear = module.find("mlp") != std::string::npos;
      const auto layout = linear ? layout_of_linears(o.config) : WeightLayout::kOutIn;
      const Matrix<float> read = std::move(padded.linear_as(ComputeType::kF32, module, layout).f32());
      for (int64_t i = 0; i < stored.rows(); ++i) {
        for (int64_t j = 0; j < stored.cols(); ++j)
          ASSERT_EQ(stored(i, j), layout == WeightLayout::kOutIn ? read(i, j) : read(j, i)) << spec.name;
      }
    }
  }
}

TEST(PaddedSource, WidthsThatGroupsAndDevicesDivide) {
  EXPECT_EQ(padded_width(29568, 128), 29696) << "Qwen-72B: 231 x 128 becomes 29 x 8 x 128";
  EXPECT_EQ(padded_width(11008, 128), 11264);
  EXPECT_EQ(padded_width(14336, 128), 14336);
  EXPECT_EQ(padded_width(1536, 128), 1536) << "a third more for eight devices would be too much";
  EXPECT_EQ(padded_width(1500, 128), 1536);
  EXPECT_EQ(padded_width(5632, -1), 5632);
  EXPECT_EQ(padded_width(56, 16), 64);
}

TEST(PaddedSource, TheConfigurationSaysTheNewWidth) {
  const Opened llama("llama_plain"), vision("gemma3"), gpt2("gpt2");
  EXPECT_EQ(parse_model_config(with_intermediate(llama.json, llama.config, 64), "t").intermediate, 64);
  EXPECT_EQ(parse_model_config(with_intermediate(gpt2.json, gpt2.config, 80), "t").intermediate, 80);
  const Json changed = with_intermediate(vision.json, vision.config, 48);
  EXPECT_EQ(parse_model_config(changed, "t").intermediate, 48);
  EXPECT_EQ(changed.find("vision_config")->dump(), vision.json.find("vision_config")->dump());
  const Opened bloom("bloom");
  try {
    with_intermediate(bloom.json, bloom.config, 256);
    FAIL() << "bloom has no such key";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("4 times the hidden size"));
  }
}

}  // namespace
}  // namespace hesse
