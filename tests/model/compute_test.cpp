#include "model/compute.h"

#include <gtest/gtest.h>

namespace hesse {
namespace {

Json config(const char* text) { return Json::parse(text, "t"); }

TEST(Compute, WhatIsAskedForIsTaken) {
  for (const bool native : {false, true}) {
    EXPECT_EQ(choose_compute("f32", config(R"({"dtype": "bfloat16"})"), native).type, ComputeType::kF32);
    EXPECT_EQ(choose_compute("bf16", config(R"({"dtype": "float32"})"), native).type, ComputeType::kBF16);
  }
}

TEST(Compute, AutoNeedsAProcessorAndAModelOf16Bits) {
  for (const char* text : {R"({"dtype": "bfloat16"})", R"({"torch_dtype": "bfloat16"})", R"({"dtype": "float16"})"}) {
    EXPECT_EQ(choose_compute("auto", config(text), true).type, ComputeType::kBF16) << text;
    EXPECT_EQ(choose_compute("auto", config(text), false).type, ComputeType::kF32) << text;
  }
  for (const char* text : {R"({"dtype": "float32"})", R"({"torch_dtype": null})", R"({"dtype": 3})", "{}"}) {
    EXPECT_EQ(choose_compute("auto", config(text), true).type, ComputeType::kF32) << text;
    EXPECT_EQ(choose_compute("auto", config(text), true).reason, "full-precision model");
  }
  EXPECT_EQ(choose_compute("auto", config(R"({"dtype": "bfloat16"})"), false).reason, "no native bf16");
}

TEST(Compute, NamesAreThoseOfTheOption) {
  EXPECT_EQ(compute_name(ComputeType::kF32), "f32");
  EXPECT_EQ(compute_name(ComputeType::kBF16), "bf16");
}

}  // namespace
}  // namespace hesse
