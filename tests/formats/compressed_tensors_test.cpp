#include "formats/compressed_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sha256.h"
#include "formats/golden_linear.h"
#include "formats/gptq_reading.h"

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const CompressedTensorsFormat kFormat;

std::string sha256_of(const StoredTensor& tensor) {
  Sha256 hash;
  hash.update(tensor.bytes.data(), tensor.bytes.size());
  return hash.hex();
}

TEST(CompressedTensors, GoldenTensors) {
  StoredTensors four(kFormat, kModule, golden_linear(4));
  EXPECT_EQ(four.at("weight_packed").spec.shape, (std::vector<int64_t>{32, 8}));
  EXPECT_EQ(four.at("weight_packed").get<uint32_t>(0), 0x1A3C5E70u);
  EXPECT_EQ(four.at("weight_packed").get<uint32_t>(1), 0x92B4D6F8u);
  EXPECT_EQ(four.at("weight_packed").get<uint32_t>(255), 0x9191E6E6u);
  EXPECT_EQ(sha256_of(four.at("weight_packed")), "e516d0c36c030fc62fdd4d1e6a73e0e2a6ad1c0b43a0747d279dc52282f0bbff");
  EXPECT_EQ(four.at("weight_zero_point").spec.shape, (std::vector<int64_t>{4, 2}));
  EXPECT_EQ(four.at("weight_zero_point").get<uint32_t>(0), 0x61B61B61u);
  EXPECT_EQ(four.at("weight_zero_point").get<uint32_t>(1), 0x2C72C72Cu);
  EXPECT_EQ(four.at("weight_scale").spec.shape, (std::vector<int64_t>{32, 2}));
  EXPECT_EQ(four.at("weight_scale").spec.dtype, DType::kF16);
  EXPECT_EQ(four.at("weight_shape").get<int64_t>(0), 32);
  EXPECT_EQ(four.at("weight_shape").get<int64_t>(1), 64);

  StoredTensors eight(kFormat, kModule, golden_linear(8));
  EXPECT_EQ(eight.at("weight_packed").get<uint32_t>(0), 0x150E0700u);
  EXPECT_EQ(sha256_of(eight.at("weight_packed")), "e6aa4ff8cb7e5820c429d388d7d2a84917f1bacfb2a4ab4fea7b340186e661f3");
}

// Signed codes -8 ... 7 are stored with 8 added, so a symmetric grid has no tensor of zero points.
TEST(CompressedTensors, SymmetricGridsHaveNoZeroPoints) {
  Rng rng(1);
  const QuantizedLinear linear = random_linear(32, 64, {.group_size = 32}, rng);
  EXPECT_EQ(kFormat.layout(kModule, form_of(linear)).size(), 3u);
  const StoredTensors stored(kFormat, kModule, linear);
  expect_same(read_stored(kFormat, stored, config_of(kFormat, linear.spec)), linear);
}

TEST(CompressedTensors, ActOrderHasATensorOfItsOwn) {
  Rng rng(2);
  QuantizedLinear linear = random_linear(32, 64, {.group_size = 16, .symmetric = false}, rng);
  rng.shuffle(linear.group_of);
  const StoredTensors stored(kFormat, kModule, linear);
  ASSERT_EQ(stored.all().size(), 5u);
  const Json config = kFormat.config({.spec = linear.spec, .act_order = true});
  EXPECT_THAT(config.dump(), HasSubstr(R"("actorder": "group")"));
  expect_same(read_stored(kFormat, stored, config), linear);
}

TEST(CompressedTensors, ConfigurationHasTheMembersThatEnginesRead) {
  const FormatConfig config{.spec = {.bits = 8, .group_size = -1}, .plain = {"lm_head"}};
  EXPECT_EQ(kFormat.config(config).dump(),
            R"({"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": )"
            R"("compressed", "global_compression_ratio": null, "kv_cache_scheme": null, "ignore": ["lm_head"], )"
            R"("config_groups": {"group_0": {"targets": ["Linear"], "input_activations": null, )"
            R"("output_activations": null, "weights": {"num_bits": 8, "type": "int", "symmetric": true, "strategy": )"
            R"("channel", "group_size": null, "dynamic": false, "actorder": null, "block_structure": null, )"
            R"("observer": "minmax", "observer_kwargs": {}}}}})");
}

// Several groups: the shapes say which one a linear is of.
TEST(CompressedTensors, MixedSchemesAreReadFromTheShapes) {
  Rng rng(3);
  const auto group = [](const LinearSpec& spec) {
    return *kFormat.config({.spec = spec}).find("config_groups")->find("group_0");
  };
  const LinearSpec specs[] = {{.bits = 4, .group_size = 32},
                              {.bits = 8, .group_size = 32, .symmetric = false},
                              {.bits = 8, .group_size = -1},
                              {.bits = 2, .group_size = 16}};
  Json groups = Json::object();
  for (const LinearSpec& spec : specs) groups.set(fmt::format("g{}", groups.as_object("t").size()), group(spec));
  const Json config = with(config_of(kFormat, {}), "config_groups", groups);
  for (const LinearSpec& spec : specs) {
    const QuantizedLinear linear = random_linear(32, 64, spec, rng);
    expect_same(read_stored(kFormat, StoredTensors(kFormat, kModule, linear), config), linear);
  }
  const QuantizedLinear other = random_linear(32, 64, {.bits = 3, .group_size = 32}, rng);
  EXPECT_THAT(refusal(kFormat, StoredTensors(kFormat, kModule, other), config),
              AllOf(HasSubstr("6 words a row"), HasSubstr("2 bits, group size 16, symmetric")));
}

// vLLM would take a class target for a fused linear before it looks at a rule for its parts.
TEST(CompressedTensors, MixedSchemesNameTheirLinearsAndNoClass) {
  const LinearSpec more{.bits = 8, .group_size = 32};
  const Json config = kFormat.config({.packed = {{"model.layers.0.mlp.gate_proj", {}},
                                                 {"model.layers.0.mlp.up_proj", {}},
                                                 {"model.layers.0.mlp.down_proj", more}}});
  const Json& groups = *config.find("config_groups");
  ASSERT_EQ(groups.as_object("t").size(), 2u);
  EXPECT_EQ(groups.find("group_0")->find("targets")->dump(),
            R"(["re:^model\\.layers\\.0\\.mlp\\.(gate_proj|up_proj|gate_up_proj)$"])");
  EXPECT_EQ(groups.find("group_1")->find("targets")->dump(), R"(["re:^model\\.layers\\.0\\.mlp\\.down_proj$"])");
  EXPECT_EQ(groups.find("group_1")->find("weights")->find("num_bits")->as_int("t"), 8);
}

// llm-compressor packs any number of outputs: the last word of zero points may be filled in part.
TEST(CompressedTensors, OutputsThatDoNotFillAWord) {
  Rng rng(4);
  const QuantizedLinear whole = random_linear(32, 64, {.bits = 3, .group_size = 32, .symmetric = false}, rng);
  StoredTensors stored(kFormat, kModule, whole);
  stored.at("weight_packed").reshape(DType::kI32, {20, 6});
  stored.at("weight_scale").reshape(DType::kF16, {20, 2});
  stored.at("weight_zero_point").reshape(DType::kI32, {2, 2});
  stored.at("weight_shape").set<int64_t>(0, 20);
  const QuantizedLinear read = read_stored(kFormat, stored, config_of(kFormat, whole.spec));
  ASSERT_EQ(read.out(), 20);
  for (int64_t o = 0; o < 20; ++o) {
    EXPECT_EQ(read.zeros(1, o), whole.zeros(1, o));
    EXPECT_EQ(read.codes(o, 63), whole.codes(o, 63));
  }
}

TEST(CompressedTensors, WhyNotNamesTheNumbers) {
  EXPECT_THAT(kFormat.why_not(32, 100, {.bits = 2, .group_size = -1}), HasSubstr("in = 100 is not a multiple of 16"));
  EXPECT_THAT(kFormat.why_not(32, 96, {.group_size = 64}), HasSubstr("in = 96 is not a multiple of group_size = 64"));
  EXPECT_EQ(kFormat.why_not(32, 64, {.group_size = 64, .symmetric = false}), "");
}

class CompressedTensorsHostile : public testing::Test {
 protected:
  CompressedTensorsHostile() : stored_(kFormat, kModule, make()), config_(config_of(kFormat, kSpec)) {}
  std::string refused_as(std::string_view suffix, DType dtype, std::vector<int64_t> shape) const {
    StoredTensors damaged = stored_;
    damaged.at(suffix).reshape(dtype, std::move(shape));
    return refusal(kFormat, damaged, config_);
  }
  // `text` in the place of a value of the weights.
  std::string refused_with(const std::string& key, const char* text) const {
    Json groups = *config_.find("config_groups"), group = *groups.find("group_0"), weights = *group.find("weights");
    weights.set(key, Json::parse(text, "t"));
    group.set("weights", weights);
    groups.set("group_0", group);
    return refusal(kFormat, stored_, with(config_, "config_groups", groups));
  }

  static constexpr LinearSpec kSpec{.bits = 4, .group_size = 32, .symmetric = false};
  StoredTensors stored_;
  Json config_;

 private:
  static QuantizedLinear make() {
    Rng rng(12);
    return random_linear(32, 64, kSpec, rng);
  }
};

TEST_F(CompressedTensorsHostile, NothingIsRefusedBeforeItIsDamaged) {
  EXPECT_EQ(refusal(kFormat, stored_, config_), "no error");
}

TEST_F(CompressedTensorsHostile, Tensors) {
  for (const std::string suffix : {"weight_packed", "weight_scale", "weight_shape"}) {
    StoredTensors damaged = stored_;
    damaged.erase(suffix);
    EXPECT_THAT(refusal(kFormat, damaged, config_), HasSubstr(kModule + ("." + suffix)));
  }
  StoredTensors symmetric = stored_;
  symmetric.erase("weight_zero_point");
  EXPECT_THAT(refusal(kFormat, symmetric, config_), HasSubstr("zero points are absent"));
  EXPECT_THAT(refused_as("weight_packed", DType::kU8, {32, 8}), HasSubstr("weight_packed is U8, must be I32"));
  EXPECT_THAT(refused_as("weight_packed", DType::kI32, {31, 8}),
              HasSubstr("weight_packed is [31, 8], must be [32, 8]"));
  EXPECT_THAT(refused_as("weight_packed", DType::kI32, {32, 9}), HasSubstr("9 words a row"));
  EXPECT_THAT(refused_as("weight_scale", DType::kF16, {32, 3}), HasSubstr("weight_scale 3 groups"));
  EXPECT_THAT(refused_as("weight_scale", DType::kF16, {64}), HasSubstr("weight_scale has 1 dimensions"));
  EXPECT_THAT(refused_as("weight_zero_point", DType::kI32, {3, 2}), HasSubstr("[3, 2], must be [4, 2]"));
  EXPECT_THAT(refused_as("weight_zero_point", DType::kI8, {32, 2}), HasSubstr("weight_zero_point is I8, must be I32"));
  EXPECT_THAT(refused_as("weight_shape", DType::kI64, {3}), HasSubstr("weight_shape is [3], must be [2]"));
}

TEST_F(CompressedTensorsHostile, SizesThatAreNone) {
  for (const int64_t size : {int64_t{0}, int64_t{-1}, std::numeric_limits<int64_t>::max(),
                             std::numeric_limits<int64_t>::min(), int64_t{65}}) {
    for (const int64_t at : {0, 1}) {
      StoredTensors damaged = stored_;
      damaged.at("weight_shape").set(at, size);
      EXPECT_NE(refusal(kFormat, damaged, config_), "no error") << size;
    }
  }
}

TEST_F(CompressedTensorsHostile, GroupMaps) {
  Rng rng(5);
  QuantizedLinear linear = random_linear(32, 64, kSpec, rng);
  rng.shuffle(linear.group_of);
  StoredTensors ordered(kFormat, kModule, linear);
  ordered.at("weight_g_idx").set<int32_t>(17, 2);
  EXPECT_THAT(refusal(kFormat, ordered, config_), HasSubstr("g_idx of input 17 is 2, must be in 0...1"));
  ordered.at("weight_g_idx").reshape(DType::kI32, {63});
  EXPECT_THAT(refusal(kFormat, ordered, config_), HasSubstr("weight_g_idx is [63], must be [64]"));
}

TEST_F(CompressedTensorsHostile, Configuration) {
  EXPECT_THAT(refused_with("num_bits", "5"), HasSubstr("num_bits is 5"));
  EXPECT_THAT(refused_with("num_bits", "\"4\""), HasSubstr("num_bits"));
  EXPECT_THAT(refused_with("num_bits", "null"), HasSubstr("'num_bits' is missing"));
  EXPECT_THAT(refused_with("type", "\"float\""), HasSubstr("\"float\""));
  EXPECT_THAT(refused_with("strategy", "\"tensor\""), HasSubstr("\"tensor\""));
  EXPECT_THAT(refused_with("group_size", "0"), HasSubstr("group_size is 0"));
  EXPECT_THAT(refused_with("group_size", "null"), HasSubstr("'group_size' is missing"));
  EXPECT_THAT(refused_with("symmetric", "1"), HasSubstr("symmetric"));
  EXPECT_THAT(refusal(kFormat, stored_, with(config_, "config_groups", Json::object())), HasSubstr("is empty"));
  EXPECT_THAT(refusal(kFormat, stored_, with(config_, "config_groups", Json::array())), HasSubstr("config_groups"));
  EXPECT_THAT(refusal(kFormat, stored_, with(config_, "config_groups", nullptr)), HasSubstr("missing"));
  const Json turned = with(config_, "transform_config", Json::parse(R"({"config_groups": {}})", "t"));
  EXPECT_THAT(refusal(kFormat, stored_, turned), HasSubstr("transform_config is not empty"));
  EXPECT_EQ(refusal(kFormat, stored_, with(config_, "sparsity_config", Json::object())), "no error");
  const Json other = with(config_, "format", "int-quantized");
  EXPECT_THROW(kFormat.recognises(other), Error);
  EXPECT_FALSE(kFormat.recognises(with(config_, "quant_method", "gptq")));
}

}  // namespace
}  // namespace hesse
