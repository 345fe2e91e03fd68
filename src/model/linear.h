// One weight matrix of a layer, and the sets of those that read the same input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/compute_matrix.h"
#include "base/matrix.h"
#include "model/config.h"
#include "model/source.h"

namespace hesse {

struct Linear {
  std::string name;         // in the file, without ".weight"
  ComputeMatrix weight;     // [out, in] of the block's compute type
  std::vector<float> bias;  // [out], or empty
};

struct LinearShape {
  std::string name;
  int64_t out = 0;
  int64_t in = 0;
  bool bias = false;
  WeightLayout layout = WeightLayout::kOutIn;  // in a file that is not quantized
  int unit = 0;                                // engines make one linear of those of a stage with the same number
};

constexpr int64_t kNoExpert = -1;

constexpr std::string_view kHeadStage = "head";  // of the linear that makes logits

// What the family's row and the config say of one layer, without any weights.
struct StageShape {
  std::string_view name;             // "qkv", "o", "gate_up", "down"; with experts see moe.h
  bool writes_residual = false;      // the output of its one linear is added to the residual stream as it is
  std::vector<LinearShape> linears;  // all of the same `in`
  int64_t expert = kNoExpert;        // whose linears they are; the number behind the last is the shared one's
  int64_t passing = 0;               // columns of the stage's input behind those that the linears read
  int64_t in() const { return linears.front().in; }
  int64_t input_width() const { return in() + passing; }
};

struct Stage {
  std::string_view name;
  bool writes_residual = false;  // then it has one linear, whose output is added to h without a norm between
  std::vector<Linear> linears;   // of an expert: none until they are read
  int64_t expert = kNoExpert;    // as in StageShape
  int64_t width = 0;             // of their input, where there are none
  int64_t passing = 0;           // as in StageShape
  int64_t in() const { return linears.empty() ? width : linears.front().weight.cols(); }
  int64_t input_width() const { return in() + passing; }
};

// Of the linears of the layers.
inline WeightLayout layout_of_linears(const ModelConfig& config) {
  return config.family->weights_in_out ? WeightLayout::kInOut : WeightLayout::kOutIn;
}

// Error(kBadInput) for a tensor that is missing, of another shape or not finite.
Linear load_linear(const WeightSource& source, const LinearShape& shape, ComputeType compute);

// y = x W^T + b: x [rows, in] of the weight's type, y [rows, out].
void apply_linear(const Linear& linear, ConstComputeView x, MatrixView<float> y);
// The same; *peak, if any, is raised to max |y| (infinity when one is not finite).
void apply_linear(const Linear& linear, ConstComputeView x, MatrixView<float> y, float* peak);

}  // namespace hesse
