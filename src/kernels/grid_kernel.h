// The inner loop of the scale search.
#pragma once

#include <cstdint>

namespace hesse {

// sum over i of importance[i] * (w[i] - q(w[i]))^2 with q(w) = scale * (clamp(round(w / scale) + zero, 0, top) - zero),
// halves to even. w finite, scale not 0. Sums in float32 lanes: good to about n * 1e-7 relative, enough to rank grids.
float grid_error(const float* w, const float* importance, int64_t n, float scale, float zero, float top);
namespace scalar {
float grid_error(const float* w, const float* importance, int64_t n, float scale, float zero, float top);
}

}  // namespace hesse
