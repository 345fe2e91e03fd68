#include "plan/work.h"

#include <gtest/gtest.h>

#include <string>

#include "plan/small_config.h"

namespace hesse {
namespace {

const std::string kDemo = std::string(HESSE_SOURCE_DIR) + "/models/tiny-llama";

void expect_equal(const Work& a, const Work& b) {
  EXPECT_DOUBLE_EQ(a.linears, b.linears);
  EXPECT_DOUBLE_EQ(a.attention, b.attention);
  EXPECT_DOUBLE_EQ(a.hessian, b.hessian);
  EXPECT_DOUBLE_EQ(a.cross, b.cross);
  EXPECT_DOUBLE_EQ(a.factor, b.factor);
  EXPECT_DOUBLE_EQ(a.solve, b.solve);
}

// 2 sequences of 3 tokens: T = 6, and 2 x 6 pairs of a query and a key.
TEST(Work, OfATinyModelCountedByHand) {
  const QuantizeSize size{.sequences = 2, .length = 3};
  const Work work = quantize_work(tiny_config(), size);
  const double qkv = 128, o = 64, gate_up = 192, down = 96;  // weights
  EXPECT_DOUBLE_EQ(work.linears, 2 * 2 * 6 * (qkv + o + gate_up + down));
  EXPECT_DOUBLE_EQ(work.attention, 2 * 12 * 4 * 4 * 2);  // streams, pairs, 4 x head_dim, heads
  EXPECT_DOUBLE_EQ(work.hessian, 6 * (8 * 8 + 8 * 8 + 8 * 8 + 12 * 12));
  // qkv and gate_up share the drift of their input; o and down have that of their output.
  EXPECT_DOUBLE_EQ(work.cross, 2 * 6 * (8 * 8 + 8 * 8) + 2 * 6 * (o + down));
  EXPECT_DOUBLE_EQ(work.factor, (3 * 512 + 1728) / 3.0);
  EXPECT_DOUBLE_EQ(work.solve, 8 * (qkv + o + gate_up) + 12 * down);
  EXPECT_DOUBLE_EQ(work.total(), work.linears + work.attention + work.hessian + work.cross + work.factor + work.solve);
}

// 64 windows of 512 tokens through the model in models/tiny-llama: 6 layers, hidden 256, intermediate 768, 4 heads of
// 64, 2 of keys and values. 786,432 weights a layer.
TEST(Work, OfTheDemoModelCountedByHand) {
  const ModelConfig demo = parse_model_config(read_config_json(kDemo), "config.json");
  const double tokens = 32768;
  const Work work = quantize_work(demo, {.sequences = 64, .length = 512});
  EXPECT_DOUBLE_EQ(work.linears, 2 * 2 * tokens * 6 * 786432);
  EXPECT_DOUBLE_EQ(work.attention, 2 * 6 * 64 * (512 * 513 / 2) * 4.0 * 64 * 4);
  EXPECT_DOUBLE_EQ(work.hessian, 6 * tokens * (3 * 65536 + 589824));
  EXPECT_DOUBLE_EQ(work.cross, 6 * 2 * tokens * (2 * 65536 + 65536 + 196608));
  EXPECT_DOUBLE_EQ(work.solve, 6 * (256.0 * (131072 + 65536 + 393216) + 768.0 * 196608));
  const Work eval = evaluation_work(demo, 64, 512);
  EXPECT_DOUBLE_EQ(eval.linears, 2 * tokens * (6 * 786432 + 256 * 4096));
  EXPECT_DOUBLE_EQ(eval.attention, work.attention / 2);
  EXPECT_EQ(eval.hessian + eval.cross + eval.factor + eval.solve, 0);
}

TEST(Work, WhatIsNotAskedForIsNotCounted) {
  QuantizeSize size{.sequences = 2, .length = 3, .targets = {.shift = 0, .residual = 0}};
  const Work two = quantize_work(tiny_config(), {.sequences = 2, .length = 3});
  const Work one = quantize_work(tiny_config(), size);
  EXPECT_DOUBLE_EQ(one.linears, two.linears / 2);
  EXPECT_DOUBLE_EQ(one.attention, two.attention / 2);
  EXPECT_EQ(one.cross, 0);
  size.targets.residual = 1;  // alone: only o and down follow
  EXPECT_DOUBLE_EQ(quantize_work(tiny_config(), size).cross, 2 * 6 * (64 + 96));
  const Work rounding = quantize_work(tiny_config(), {.sequences = 2, .length = 3, .solves = false});
  EXPECT_EQ(rounding.factor + rounding.solve + rounding.cross, 0);
  EXPECT_DOUBLE_EQ(rounding.linears, one.linears);
  expect_equal(quantize_work(tiny_config(), {}), Work{});
}

// Inputs of 8 channels in groups of 4: blocks of 4 where 8 x 8 doubles do not fit; 12 channels make three of them.
TEST(Work, OfAHessianThatIsCutTheBlocksCount) {
  const Work cut = quantize_work(tiny_config(), {.sequences = 2, .length = 3, .group_size = 4, .hessian_bytes = 511});
  EXPECT_DOUBLE_EQ(cut.hessian, 6 * (3 * 2 * 16 + 3 * 16));
  EXPECT_DOUBLE_EQ(cut.factor, (3 * 2 + 3) * 64 / 3.0);
  EXPECT_DOUBLE_EQ(cut.solve, 4 * (64 + 64 + 64 + 192 + 96 - 64 + 64));
  const Work rows = quantize_work(tiny_config(), {.sequences = 2, .length = 3, .group_size = -1, .hessian_bytes = 511});
  EXPECT_DOUBLE_EQ(rows.hessian, 6 * (3 * 64 + 144)) << "a group that is a row cannot be cut";
}

TEST(Work, IsLinearInSequencesAndLayers) {
  ModelConfig config = tiny_config();
  const QuantizeSize size{.sequences = 7, .length = 33};
  const Work one = quantize_work(config, size);
  Work more = quantize_work(config, {.sequences = 21, .length = 33});
  for (double* part : {&more.linears, &more.attention, &more.hessian, &more.cross}) *part /= 3;
  expect_equal(more, one);
  config.layers = 5;
  config.layer_attention.resize(5);
  Work deep = quantize_work(config, size);
  for (double* part : {&deep.linears, &deep.attention, &deep.hessian, &deep.cross, &deep.factor, &deep.solve})
    *part /= 5;
  expect_equal(deep, one);
}

// Against counting them one by one.
TEST(Work, PairsOfWindowedAttention) {
  for (const int64_t length : {1, 2, 7, 64}) {
    for (const int64_t window : {0, 1, 2, 5, 7, 63, 64, 100}) {
      int64_t pairs = 0;
      for (int64_t q = 0; q < length; ++q) {
        for (int64_t k = 0; k <= q; ++k) pairs += window == 0 || q - k < window ? 1 : 0;
      }
      EXPECT_EQ(attention_pairs(length, window), static_cast<double>(pairs)) << length << ", " << window;
    }
  }
}

// A norm between o or down and the residual stream, as in Gemma 3, leaves the drift of the input.
TEST(Work, DriftOfAStageBehindANormIsThatOfItsInput) {
  const QuantizeSize size{.sequences = 1, .length = 4};
  StageShape stage{"down", true, {{"d", 8, 12}}};
  EXPECT_EQ(drift_sum(stage, size), DriftSum::kOutput);
  stage.writes_residual = false;
  EXPECT_EQ(drift_sum(stage, size), DriftSum::kInput);
  EXPECT_EQ(drift_sum(stage, {.sequences = 1, .length = 4, .targets = {.shift = 0}}), DriftSum::kNone);
}

}  // namespace
}  // namespace hesse
