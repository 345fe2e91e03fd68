// Weights in FP8 blocks: values, whole models, and files that are damaged.
#include "model/fp8.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "io/file.h"
#include "model/source.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kSeed = 13;

// Micikevicius and others 2022, arXiv:2209.05433, table 1.
TEST(Fp8, ValuesAreThoseOfTheFormat) {
  EXPECT_EQ(f8e4m3_to_float(0x00), 0.0f);
  EXPECT_TRUE(std::signbit(f8e4m3_to_float(0x80)));
  EXPECT_EQ(f8e4m3_to_float(0x01), 0x1p-9f);           // the least
  EXPECT_EQ(f8e4m3_to_float(0x07), 0.875f * 0x1p-6f);  // the largest subnormal
  EXPECT_EQ(f8e4m3_to_float(0x08), 0x1p-6f);
  EXPECT_EQ(f8e4m3_to_float(0x38), 1.0f);
  EXPECT_EQ(f8e4m3_to_float(0xB9), -1.125f);
  EXPECT_EQ(f8e4m3_to_float(0x7E), 448.0f);  // the largest
  EXPECT_TRUE(std::isnan(f8e4m3_to_float(0x7F)));
  EXPECT_TRUE(std::isnan(f8e4m3_to_float(0xFF)));
  for (unsigned bits = 1; bits < 0x7F; ++bits) {
    const auto at = [](unsigned code) { return f8e4m3_to_float(static_cast<uint8_t>(code)); };
    EXPECT_GT(at(bits), at(bits - 1));
    EXPECT_EQ(at(bits | 0x80), -at(bits));
  }
}

class Fp8File : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  // 'm.weight' [rows, cols] of random codes, with scales of this shape.
  void write(int64_t rows, int64_t cols, const std::vector<int64_t>& scales) {
    Rng rng(kSeed);
    codes_.resize(static_cast<size_t>(rows * cols));
    for (uint8_t& code : codes_) code = static_cast<uint8_t>(rng.below(0x7F) | (rng.below(2) << 7));
    scales_.resize(static_cast<size_t>(scales[0] * scales[1]));
    for (float& scale : scales_) scale = static_cast<float>(0.5 + rng.uniform());
    store({rows, cols}, scales);
  }
  void store(const std::vector<int64_t>& shape, const std::vector<int64_t>& scales) const {
    SafetensorsWriter writer(
        folder_ / "model.safetensors",
        layout_safetensors({{"m.weight", DType::kF8E4M3, shape}, {"m.weight_scale_inv", DType::kF32, scales}}));
    writer.write("m.weight", std::as_bytes(std::span(codes_)));
    writer.write("m.weight_scale_inv", std::as_bytes(std::span(scales_)));
    writer.finish();
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / ("hesse-fp8-" + std::to_string(::getpid()));
  std::vector<uint8_t> codes_;
  std::vector<float> scales_;
};

TEST_F(Fp8File, EveryBlockHasItsScale) {
  constexpr int64_t kRows = 130, kCols = 300;  // blocks that are cut on both sides
  write(kRows, kCols, {2, 3});
  const Checkpoint checkpoint(folder_);
  const CheckpointSource source(checkpoint);
  const WeightSource::Shape shape = source.linear_shape("m");
  EXPECT_EQ(shape.out, kRows);
  EXPECT_EQ(shape.in, kCols);
  const Matrix<float> m = source.linear("m");
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      const float scale = scales_[static_cast<size_t>(r / 128 * 3 + c / 128)];
      ASSERT_EQ(m(r, c), f8e4m3_to_float(codes_[static_cast<size_t>(r * kCols + c)]) * scale) << r << ' ' << c;
    }
  }
}

TEST_F(Fp8File, ScalesOfAnotherShapeAreRefused) {
  write(130, 300, {3, 2});
  const Checkpoint checkpoint(folder_);
  try {
    CheckpointSource(checkpoint).linear("m");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("'m.weight_scale_inv' is F32 [3, 2]; 'm.weight' needs F32 [2, 3]"));
  }
}

TEST_F(Fp8File, ValuesThatAreNotFiniteAreNamed) {
  write(4, 5, {1, 1});
  codes_[7] = 0x7F;
  fs::remove(folder_ / "model.safetensors");
  store({4, 5}, {1, 1});
  const Checkpoint checkpoint(folder_);
  try {
    CheckpointSource(checkpoint).linear("m");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("row 1, column 2"));
  }
}

TEST(Fp8Config, IsKnownByItsMethodAndItsBlocks) {
  const auto known = [](const char* text) {
    const Json json = Json::parse(text, "t");
    return is_fp8_config(&json);
  };
  EXPECT_FALSE(is_fp8_config(nullptr));
  EXPECT_TRUE(known(R"({"quant_method": "fp8", "weight_block_size": [128, 128], "fmt": "e4m3"})"));
  EXPECT_FALSE(known(R"({"quant_method": "fp8", "weight_block_size": [64, 128]})"));
  EXPECT_FALSE(known(R"({"quant_method": "fp8"})"));
  EXPECT_FALSE(known(R"({"quant_method": "gptq", "weight_block_size": [128, 128]})"));
  EXPECT_FALSE(known("[]"));
}

}  // namespace
}  // namespace hesse
