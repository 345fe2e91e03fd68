#include "model/rope.h"

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

std::vector<float> frequencies(const RopeConfig& rope, int64_t head_dim) {
  std::vector<float> result;
  for (int64_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    float frequency = 1.0f / std::pow(static_cast<float>(rope.theta), exponent);
    if (rope.kind == RopeKind::kLinear) frequency /= static_cast<float>(rope.factor);
    if (rope.kind == RopeKind::kLlama3) frequency = llama3_frequency(rope, frequency);
    result.push_back(frequency);
  }
  return result;
}

}  // namespace

RopeTable make_rope_table(const RopeConfig& rope, int64_t head_dim, int64_t positions) {
  const std::vector<float> frequency = frequencies(rope, head_dim);
  const int64_t half = static_cast<int64_t>(frequency.size());
  RopeTable table{Matrix<float>(positions, half), Matrix<float>(positions, half)};
  for (int64_t p = 0; p < positions; ++p) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * frequency[static_cast<size_t>(i)];
      table.cos(p, i) = std::cos(angle);
      table.sin(p, i) = std::sin(angle);
    }
  }
  return table;
}

}  // namespace hesse
