#include "model/alibi.h"

#include <cmath>

#include "base/dtype.h"

namespace hesse {

std::vector<float> alibi_slopes(int64_t heads) {
  int64_t power = 1;
  while (2 * power <= heads) power *= 2;
  const auto base = [](int64_t count) { return static_cast<float>(std::exp2(-8.0 / static_cast<double>(count))); };
  std::vector<float> slopes;
  for (int64_t k = 1; k <= power; ++k) slopes.push_back(std::pow(base(power), static_cast<float>(k)));
  for (int64_t k = 1; static_cast<int64_t>(slopes.size()) < heads; k += 2)
    slopes.push_back(std::pow(base(2 * power), static_cast<float>(k)));
  return slopes;
}

Matrix<float> key_biases(AlibiKind kind, const std::vector<float>& slopes, float scale, int64_t keys) {
  if (kind == AlibiKind::kNone) return {};
  const auto rounded = [&](float value) {
    return kind == AlibiKind::kBfloat16 ? bf16_to_float(float_to_bf16(value)) : value;
  };
  Matrix<float> biases(static_cast<int64_t>(slopes.size()), keys);
  for (int64_t h = 0; h < biases.rows(); ++h) {
    for (int64_t j = 0; j < keys; ++j)
      biases(h, j) = scale * rounded(rounded(slopes[static_cast<size_t>(h)]) * rounded(static_cast<float>(j)));
  }
  return biases;
}

}  // namespace hesse
