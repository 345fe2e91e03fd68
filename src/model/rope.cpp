#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hesse {
namespace {

// Long wavelengths are stretched by `factor`, short ones kept, those between blended (Llama 3.1).
float llama3_frequency(const RopeConfig& rope, float frequency) {
  const float factor = static_cast<float>(rope.factor);
  const float low = static_cast<float>(rope.low_freq_factor);
  const float high = static_cast<float>(rope.high_freq_factor);
  const float original = static_cast<float>(rope.original_positions);
  const float wavelength = 6.283185307179586f / frequency;
  if (wavelength < original / high) return frequency;
  if (wavelength > original / low) return frequency / factor;
  const float smooth = (original / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

// Dynamic NTK: a longer text is read with a larger theta.
float dynamic_theta(const RopeConfig& rope, int64_t positions) {
  const double length = std::max(static_cast<double>(positions), rope.max_positions);
  const double base = rope.factor * length / rope.max_positions - (rope.factor - 1);
  const double dim = static_cast<double>(rope.dim);
  return static_cast<float>(rope.theta * std::pow(base, dim / (dim - 2)));
}

// YaRN (Peng et al. 2023): pairs that turn often keep their frequency, those that turn seldom are stretched.
class YarnRamp {
 public:
  explicit YarnRamp(const RopeConfig& rope) {
    low_ = pair_with_turns(rope, rope.beta_fast);
    high_ = pair_with_turns(rope, rope.beta_slow);
    if (rope.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, static_cast<double>(rope.dim - 1));
    if (low_ == high_) high_ += 0.001;
  }
  // Share of the stretched frequency in that of pair i.
  float stretched(int64_t i) const {
    return static_cast<float>(std::clamp((static_cast<double>(i) - low_) / (high_ - low_), 0.0, 1.0));
  }

 private:
  static double pair_with_turns(const RopeConfig& rope, double turns) {
    constexpr double kTurn = 6.283185307179586;
    return static_cast<double>(rope.dim) * std::log(rope.original_positions / (turns * kTurn)) /
           (2 * std::log(rope.theta));
  }
  double low_ = 0, high_ = 0;
};

float yarn_frequency(const YarnRamp& ramp, int64_t pair, float factor, float frequency) {
  const float stretched = ramp.stretched(pair);
  return frequency / factor * stretched + frequency * (1 - stretched);
}

std::vector<float> frequencies(const RopeConfig& rope, int64_t positions) {
  std::vector<float> result;
  const float theta = rope.kind == RopeKind::kDynamic ? dynamic_theta(rope, positions) : static_cast<float>(rope.theta);
  const bool is_long = static_cast<double>(positions) > rope.original_positions;
  const std::vector<double>& stretch = is_long ? rope.long_factor : rope.short_factor;
  const YarnRamp ramp(rope);
  const float factor = static_cast<float>(rope.factor);
  for (int64_t i = 0; i < rope.dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(rope.dim);
    float base = std::pow(theta, exponent);
    if (rope.kind == RopeKind::kLongRope) base *= static_cast<float>(stretch[static_cast<size_t>(i / 2)]);
    float frequency = 1.0f / base;
    if (rope.kind == RopeKind::kLinear) frequency /= factor;
    if (rope.kind == RopeKind::kLlama3) frequency = llama3_frequency(rope, frequency);
    if (rope.kind == RopeKind::kYarn) frequency = yarn_frequency(ramp, i / 2, factor, frequency);
    result.push_back(frequency);
  }
  return result;
}

}  // namespace

RopeTable make_rope_table(const RopeConfig& rope, int64_t positions) {
  const std::vector<float> frequency = frequencies(rope, positions);
  const int64_t half = static_cast<int64_t>(frequency.size());
  const float scale = static_cast<float>(rope.attention_factor);
  RopeTable table{Matrix<float>(positions, half), Matrix<float>(positions, half)};
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequency[static_cast<size_t>(i)];
      table.cos(p, i) = std::cos(angle) * scale;
      table.sin(p, i) = std::sin(angle) * scale;
    }
  }
  return table;
}

}  // namespace hesse
