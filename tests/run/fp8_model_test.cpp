// A model whose weights lie in FP8 blocks is quantized as the plain one that it stands for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "hesse/api.h"
#include "io/checkpoint.h"
#include "io/file.h"
#include "io/test_files.h"
#include "model/fp8.h"
#include "run/small_run.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

struct Coded {
  float scale = 1;
  std::vector<uint8_t> codes;
  std::vector<float> values;  // what they stand for
};

// One block: the sizes of the small model are below 128.
Coded coded(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  Coded result;
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  result.scale = largest / 448;
  for (const float value : values) {
    uint8_t best = 0;
    for (unsigned code = 0; code < 256; ++code) {
      const float at = f8e4m3_to_float(static_cast<uint8_t>(code)) * result.scale;
      if (std::fabs(at - value) < std::fabs(f8e4m3_to_float(best) * result.scale - value))
        best = static_cast<uint8_t>(code);
    }
    result.codes.push_back(best);
    result.values.push_back(f8e4m3_to_float(best) * result.scale);
  }
  return result;
}

bool is_linear(const std::string& name) { return name.ends_with("_proj.weight"); }

class Fp8Model : public testing::Test {
 protected:
  void SetUp() override {
    SmallModel::make(folder_ / "small");
    for (const char* name : {"plain", "coded"}) {
      fs::copy(folder_ / "small", folder_ / name, fs::copy_options::recursive);
      fs::copy_file(folder_ / "small.txt", folder_ / (std::string(name) + ".txt"));
      fs::remove(folder_ / name / "model.safetensors");
    }
    write_weights();
    Json config = Json::parse(read_text_file(folder_ / "coded/config.json"), "config.json");
    config.set("quantization_config",
               Json::parse(R"({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]})", "t"));
    std::ofstream(folder_ / "coded/config.json") << config.dump(2);
  }

  void write_weights() const {
    const Checkpoint small(folder_ / "small");
    std::vector<TensorSpec> plain, fp8;
    for (const TensorView* tensor : small.tensors()) {
      plain.push_back(tensor->spec);
      fp8.push_back(tensor->spec);
      if (!is_linear(tensor->spec.name)) continue;
      fp8.back().dtype = DType::kF8E4M3;
      fp8.push_back({tensor->spec.name + "_scale_inv", DType::kF32, {1, 1}});
    }
    SafetensorsWriter to_plain(folder_ / "plain/model.safetensors", layout_safetensors(plain));
    SafetensorsWriter to_fp8(folder_ / "coded/model.safetensors", layout_safetensors(fp8));
    for (const TensorView* tensor : small.tensors()) {
      const std::string& name = tensor->spec.name;
      if (!is_linear(name)) {
        to_plain.write(name, tensor->bytes);
        to_fp8.write(name, tensor->bytes);
        continue;
      }
      const Coded linear = coded(tensor->bytes);
      to_plain.write(name, std::as_bytes(std::span(linear.values)));
      to_fp8.write(name, std::as_bytes(std::span(linear.codes)));
      to_fp8.write(name + "_scale_inv", std::as_bytes(std::span(&linear.scale, 1)));
    }
    to_plain.finish();
    to_fp8.finish();
  }

  // The file of "coded" with another first byte of one tensor.
  void damage(const std::string& name, std::byte byte) const {
    std::vector<TensorSpec> specs;
    std::vector<std::vector<std::byte>> values;
    for (const Checkpoint coded(folder_ / "coded"); const TensorView* tensor : coded.tensors()) {
      specs.push_back(tensor->spec);
      values.emplace_back(tensor->bytes.begin(), tensor->bytes.end());
      if (tensor->spec.name == name) values.back().front() = byte;
    }
    fs::remove(folder_ / "coded/model.safetensors");
    SafetensorsWriter writer(folder_ / "coded/model.safetensors", layout_safetensors(specs));
    for (size_t i = 0; i < specs.size(); ++i) writer.write(specs[i].name, values[i]);
    writer.finish();
  }

  // What verify says: "good config.shapes: ...".
  static std::vector<std::string> verified(const fs::path& model, const std::string& format) {
    Listener listener;
    const VerifyResult result = verify({.model = model.string()}, listener);
    EXPECT_EQ(result.format, format);
    EXPECT_EQ(result.linears, 0);
    std::vector<std::string> said;
    for (const Finding& finding : result.findings)
      said.push_back(std::string(severity_name(finding.severity)) + " " + finding.check + ": " + finding.what);
    return said;
  }

  fs::path run(const std::string& name, const std::string& layers = "", const std::string& format = "auto") const {
    const fs::path output = folder_ / ("out-" + name + layers + format);
    QuantizeOptions o = small_options(folder_ / name, output);
    o.format = format;
    o.layers = layers;
    Listener listener;
    quantize_with(o, listener, small_settings(false));
    return output;
  }

  const TestDirectory folder_;
};

TEST_F(Fp8Model, GivesTheTensorsOfThePlainOne) {
  const fs::path from_plain = run("plain"), from_fp8 = run("coded");
  const Checkpoint plain(from_plain), fp8(from_fp8);
  ASSERT_EQ(plain.tensors().size(), fp8.tensors().size());
  for (const TensorView* tensor : plain.tensors()) {
    const TensorView* other = fp8.find(tensor->spec.name);
    ASSERT_NE(other, nullptr) << tensor->spec.name;
    EXPECT_EQ(other->spec.dtype, tensor->spec.dtype);
    EXPECT_TRUE(std::equal(tensor->bytes.begin(), tensor->bytes.end(), other->bytes.begin(), other->bytes.end()))
        << tensor->spec.name;
  }
  const Json config = Json::parse(read_text_file(from_fp8 / "config.json"), "config.json");
  EXPECT_EQ(config.find("quantization_config")->find("quant_method")->as_string("t"), "gptq");
}

TEST_F(Fp8Model, AResultWithoutPackedTensorsSaysNothingOfFp8) {
  const Json config = Json::parse(read_text_file(run("coded", "", "bf16") / "config.json"), "config.json");
  EXPECT_EQ(config.find("quantization_config"), nullptr);
}

// What is not quantized must be read without the scales.
TEST_F(Fp8Model, LinearsThatAreLeftBecomeBfloat16) {
  const Checkpoint result(run("coded", "0")), plain(folder_ / "plain");
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  const TensorView& left = result.at(name);
  EXPECT_EQ(left.spec.dtype, DType::kBF16);
  EXPECT_EQ(result.find(name + "_scale_inv"), nullptr);
  std::vector<float> expected(static_cast<size_t>(left.spec.elements()));
  std::memcpy(expected.data(), plain.at(name).bytes.data(), plain.at(name).bytes.size());
  std::vector<uint16_t> found(expected.size());
  std::memcpy(found.data(), left.bytes.data(), left.bytes.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], float_to_bf16(expected[i])) << i;
}

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(Fp8Model, VerifySaysWhatItIs) {
  EXPECT_THAT(verified(folder_ / "coded", "fp8"),
              ElementsAre(AllOf(StartsWith("note packed.none"), HasSubstr("'fp8'")), StartsWith("good config.shapes")));
  const fs::path mxfp4 = fs::path(HESSE_SOURCE_DIR) / "tests/data/families/gpt_oss_mxfp4";
  EXPECT_THAT(verified(mxfp4, "mxfp4"), ElementsAre(AllOf(StartsWith("note packed.none"), HasSubstr("'mxfp4'")),
                                                    StartsWith("good config.shapes")));
}

TEST_F(Fp8Model, VerifyFindsACodeThatIsNoNumber) {
  damage("model.layers.1.mlp.up_proj.weight", std::byte{0x7F});
  EXPECT_THAT(verified(folder_ / "coded", "fp8"),
              testing::Contains(AllOf(StartsWith("error weights.finite"), HasSubstr("layers.1.mlp.up_proj"),
                                      HasSubstr("nan at row 0, column 0"))));
}

}  // namespace
}  // namespace hesse
