// Experts that lie as one tensor in the file: every element is found where it belongs, in plain files and in MXFP4, and
// files that are damaged are refused.
#include "model/packed_experts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "hesse/error.h"
#include "io/file.h"
#include "model/config.h"
#include "model/reference.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
const std::string kExperts = "model.layers.0.mlp.experts.";

struct Stored {
  TensorSpec spec;
  std::vector<std::byte> bytes;
};
using Tensors = std::map<std::string, Stored>;

// A file of tests/data/families with tensors changed.
class PackedFile : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const char* family, const std::function<void(Tensors&)>& change) {
    family_ = family;
    fs::remove(folder_ / "model.safetensors");
    const Checkpoint checkpoint(kReferences / family);
    Tensors tensors;
    for (const TensorView* view : checkpoint.tensors())
      tensors[view->spec.name] = {view->spec, {view->bytes.begin(), view->bytes.end()}};
    change(tensors);
    std::vector<TensorSpec> specs;
    for (const auto& [name, tensor] : tensors) specs.push_back(tensor.spec);
    SafetensorsWriter writer(folder_ / "model.safetensors", layout_safetensors(std::move(specs)));
    for (const auto& [name, tensor] : tensors) writer.write(name, tensor.bytes);
    writer.finish();
  }

  // What opening the file says.
  std::string refusal() const {
    const ModelConfig config = parse_model_config(read_config_json(kReferences / family_), "t");
    const Checkpoint checkpoint(folder_);
    try {
      const CheckpointSource source(checkpoint, config);
      const Model model(config, source, 1);
      model.block(0);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
      return error.what();
    }
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / ("hesse-packed-" + std::to_string(::getpid()));
  std::string family_;
};

// Linears of a tensor with a number of its own in every element, by the formula of the format.
TEST(PackedExperts, EveryElementIsFoundWhereItBelongs) {
  const struct {
    const char* family;
    bool in_out;
  } cases[] = {{"gpt_oss", true}, {"qwen3_vl_moe", true}, {"qwen3_moe_stacked", false}};
  for (const auto& one : cases) {
    SCOPED_TRACE(one.family);
    const Loaded loaded(kReferences / one.family, 80);
    const ModelConfig& config = loaded.model.config();
    int64_t layer = 0;
    while (!config.experts.in_layer(layer)) ++layer;
    const int64_t width = config.experts.width, hidden = config.hidden;
    const std::string experts = config.in_layer(layer, "mlp.experts.");
    const TensorView& both = loaded.checkpoint.at(experts + "gate_up_proj");
    const TensorView& down = loaded.checkpoint.at(experts + "down_proj");
    const auto value = [](const TensorView& tensor, int64_t index) {
      float found = 0;
      convert_to_float(tensor, index, 1, &found);
      return found;
    };
    for (int64_t e = 0; e < config.experts.count; ++e) {
      const std::string expert = experts + std::to_string(e);
      const Matrix<float> gate = loaded.source.linear(expert + ".gate_proj");
      const Matrix<float> up = loaded.source.linear(expert + ".up_proj");
      const Matrix<float> last = loaded.source.linear(expert + ".down_proj");
      ASSERT_EQ(gate.rows(), width);
      ASSERT_EQ(last.rows(), hidden);
      for (int64_t r = 0; r < width; ++r) {
        for (int64_t c = 0; c < hidden; ++c) {
          const auto at = [&](int64_t output) {
            const int64_t inner = one.in_out ? c * 2 * width + output : output * hidden + c;
            return value(both, e * 2 * width * hidden + inner);
          };
          ASSERT_EQ(gate(r, c), at(r));
          ASSERT_EQ(up(r, c), at(width + r));
          ASSERT_EQ(last(c, r), value(down, e * width * hidden + (one.in_out ? r * hidden + c : c * width + r)));
        }
      }
    }
  }
}

// The same matrices as a plain tensor of all and one by one.
TEST(PackedExperts, FormsAgree) {
  for (const char* family : {"gpt_oss", "gpt_oss_mxfp4", "qwen3_vl_moe", "qwen3_moe_stacked"}) {
    const Loaded loaded(kReferences / family, 80);
    std::map<std::string, std::vector<std::byte>> together;
    for (const PlainTensor& tensor : loaded.source.plain_tensors(ExpertsForm::kTogether)) {
      const PlainBytes bytes = loaded.source.plain_bytes(tensor);
      ASSERT_EQ(std::ssize(bytes.view), tensor.spec.bytes());
      together[tensor.spec.name].assign(bytes.view.begin(), bytes.view.end());
      EXPECT_FALSE(tensor.spec.name.ends_with("_blocks") || tensor.spec.name.ends_with("_scales"));
    }
    size_t parts = 0;
    for (const PlainTensor& tensor : loaded.source.plain_tensors(ExpertsForm::kApart)) {
      if (tensor.part == nullptr || tensor.part->bias) continue;
      ++parts;
      const PlainBytes bytes = loaded.source.plain_bytes(tensor);
      const ExpertPart& part = *tensor.part;
      const std::vector<std::byte>& whole = together.at(part.of->name);
      for (int64_t r = 0; r < part.out; ++r) {
        for (int64_t c = 0; c < part.of->in; ++c) {
          const int64_t index = part.of->index(part.expert, part.first + r, c);
          ASSERT_EQ(std::memcmp(bytes.view.data() + (r * part.of->in + c) * 2, whole.data() + index * 2, 2), 0);
        }
      }
    }
    EXPECT_GT(parts, 0u) << family;
  }
}

// OCP Microscaling Formats 1.0: of E2M1 the sixteen values, of E8M0 powers of two.
TEST_F(PackedFile, Mxfp4ValuesAreThoseOfTheFormat) {
  constexpr float kValues[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  write("gpt_oss_mxfp4", [](Tensors& tensors) {
    Stored& blocks = tensors[kExperts + "down_proj_blocks"];
    Stored& scales = tensors[kExperts + "down_proj_scales"];
    for (size_t i = 0; i < blocks.bytes.size(); ++i)
      blocks.bytes[i] = static_cast<std::byte>((i % 16) * 16 + 15 - i % 16);
    for (size_t i = 0; i < scales.bytes.size(); ++i) scales.bytes[i] = static_cast<std::byte>(i % 2 == 0 ? 127 : 120);
  });
  const Checkpoint checkpoint(folder_);
  const CheckpointSource source(checkpoint, parse_model_config(read_config_json(kReferences / family_), "t"));
  const Matrix<float> down = source.linear(kExperts + "1.down_proj");
  ASSERT_EQ(down.cols(), 32);
  for (int64_t r = 0; r < down.rows(); ++r) {
    const float scale = (down.rows() + r) % 2 == 0 ? 1.0f : 0x1p-7f;
    for (int64_t c = 0; c < 32; ++c) {
      const int64_t code = c % 2 == 0 ? 15 - c / 2 : c / 2;  // the lower half first
      ASSERT_EQ(down(r, c), (code < 8 ? 1 : -1) * kValues[code % 8] * scale) << r << ' ' << c;
    }
  }
}

TEST_F(PackedFile, ScalesThatAreNoNumbersAreNamed) {
  write("gpt_oss_mxfp4", [](Tensors& tensors) { tensors[kExperts + "down_proj_scales"].bytes[3] = std::byte{255}; });
  EXPECT_THAT(refusal(), testing::AllOf(testing::HasSubstr("'model.layers.0.mlp.experts.0.down_proj.weight' has"),
                                        testing::HasSubstr("nan at row 3, column 0")));
}

TEST_F(PackedFile, DamagedMxfp4IsRefused) {
  const auto after = [&](const std::function<void(Tensors&)>& change) {
    write("gpt_oss_mxfp4", change);
    return refusal();
  };
  const auto shape = [&](const char* name, std::vector<int64_t> other) {
    return after([&](Tensors& tensors) {
      Stored& tensor = tensors[kExperts + name];
      tensor.spec.shape = std::move(other);
      tensor.bytes.resize(static_cast<size_t>(tensor.spec.bytes()));
    });
  };
  EXPECT_EQ(after([](Tensors&) {}), "");
  EXPECT_THAT(after([](Tensors& tensors) { tensors.erase(kExperts + "gate_up_proj_scales"); }),
              testing::HasSubstr("gate_up_proj_scales' is not in the checkpoint"));
  EXPECT_THAT(shape("gate_up_proj_scales", {3, 64, 1}),
              testing::HasSubstr("gate_up_proj_scales' is U8 [3, 64, 1]; config.json asks for U8 [3, 64, 2]"));
  EXPECT_THAT(shape("gate_up_proj_blocks", {3, 64, 2, 15}), testing::HasSubstr("asks for U8 [3, 64, 2, 16]"));
  EXPECT_THAT(shape("gate_up_proj_blocks", {2, 64, 2, 16}), testing::HasSubstr("asks for U8 [3, 64, 2, 16]"));
  EXPECT_THAT(shape("down_proj_blocks", {3 * 64 * 16}), testing::HasSubstr("asks for U8 [3, 64, 1, 16]"));
  EXPECT_THAT(shape("down_proj_bias", {3, 63}), testing::HasSubstr("down_proj_bias' is BF16 [3, 63]"));
  EXPECT_THAT(after([](Tensors& tensors) { tensors.erase(kExperts + "down_proj_bias"); }),
              testing::HasSubstr("experts.0.down_proj.bias' is not in the checkpoint"));
  EXPECT_THAT(after([](Tensors& tensors) { tensors.erase(kExperts + "down_proj_blocks"); }),
              testing::HasSubstr("experts.0.gate_proj.weight' is not in the checkpoint"));
  EXPECT_THAT(after([](Tensors& tensors) { tensors[kExperts + "down_proj_blocks"].spec.dtype = DType::kI8; }),
              testing::HasSubstr("down_proj_blocks' is I8"));
}

TEST_F(PackedFile, OddWidthsHaveNoBlocks) {
  Json json = read_config_json(kReferences / "gpt_oss_mxfp4");
  json.set("intermediate_size", int64_t{33});
  const Checkpoint checkpoint(kReferences / "gpt_oss_mxfp4");
  EXPECT_THROW(CheckpointSource(checkpoint, parse_model_config(json, "t")), Error);
  EXPECT_THROW(Mxfp4Rows(checkpoint, kExperts + "down_proj", 3, 3 * 64, 33), Error);
}

TEST_F(PackedFile, PlainTensorsOfAnotherShapeAreRefused) {
  write("gpt_oss", [](Tensors& tensors) { tensors[kExperts + "down_proj"].spec.shape = {4, 40 * 24, 1}; });
  EXPECT_THAT(refusal(), testing::HasSubstr("'model.layers.0.mlp.experts.down_proj' is BF16 [4, 960, 1]; config.json "
                                            "asks for F16, BF16 or F32 [4, 24, 40] or [4, 40, 24]"));
}

// Where gate and up together are as many as the inputs, the other tensor tells how they lie.
TEST(PackedExperts, SquareTensorsLieAsTheOthers) {
  const fs::path folder = fs::path(testing::TempDir()) / ("hesse-square-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  Json json = read_config_json(kReferences / "qwen3_moe_stacked");
  const std::map<std::string, int64_t> sizes = {
      {"hidden_size", 8}, {"moe_intermediate_size", 4}, {"num_hidden_layers", 1}, {"num_experts", 2}};
  for (const auto& [key, value] : sizes) json.set(key, value);
  json.set("decoder_sparse_step", int64_t{1});
  json.set("mlp_only_layers", Json::array());
  const ModelConfig config = parse_model_config(json, "t");
  for (const bool in_out : {false, true}) {
    const std::vector<int64_t> down = in_out ? std::vector<int64_t>{2, 4, 8} : std::vector<int64_t>{2, 8, 4};
    fs::remove(folder / "model.safetensors");
    {
      SafetensorsWriter writer(folder / "model.safetensors",
                               layout_safetensors({{kExperts + "gate_up_proj", DType::kF32, {2, 8, 8}},
                                                   {kExperts + "down_proj", DType::kF32, down},
                                                   {"model.embed_tokens.weight", DType::kF32, {1, 1}}}));
      std::vector<float> values(128);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
      writer.write(kExperts + "gate_up_proj", std::as_bytes(std::span(values)));
      writer.write(kExperts + "down_proj", std::as_bytes(std::span(values).first(64)));
      writer.write("model.embed_tokens.weight", std::as_bytes(std::span(values).first(1)));
      writer.finish();
    }
    const Checkpoint checkpoint(folder);
    const CheckpointSource source(checkpoint, config);
    EXPECT_EQ(source.linear(kExperts + "1.up_proj")(1, 2), static_cast<float>(64 + (in_out ? 2 * 8 + 5 : 5 * 8 + 2)));
  }
  fs::remove_all(folder);
}

TEST(Mxfp4Config, IsKnownByItsMethod) {
  const auto known = [](const char* text) {
    const Json json = Json::parse(text, "t");
    return is_read_as_plain(&json);
  };
  EXPECT_TRUE(known(R"({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})"));
  EXPECT_FALSE(known(R"({"quant_method": "gptq"})"));
  EXPECT_FALSE(known("[]"));
  EXPECT_FALSE(is_read_as_plain(nullptr));
}

}  // namespace
}  // namespace hesse
