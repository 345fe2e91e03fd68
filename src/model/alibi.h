// Attention with linear biases (Press, Smith and Lewis 2021): what is added to the scores of a key by its position.
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"
#include "model/arch.h"

namespace hesse {

// [heads]: powers of 2^(-8 / n) for the n heads of the largest power of two; the heads beyond take every other slope of
// twice as many.
std::vector<float> alibi_slopes(int64_t heads);

// [heads, keys] = slope times position of the key, times `scale`; [0, 0] for kNone. kBfloat16 rounds slope, position
// and product, which a model that was trained so expects in float32 too.
Matrix<float> key_biases(AlibiKind kind, const std::vector<float>& slopes, float scale, int64_t keys);

}  // namespace hesse
