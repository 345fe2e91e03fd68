// The inner loop of the scale search.
#pragma once

#include <cstdint>

namespace hesse {

struct GridCandidates {
  const float* scale;  // [count], none of them 0
  const float* zero;   // [count]
  int64_t count;
};

// error[c] = sum over i of importance[i] * (w[i] - q(w[i]))^2 with q(w) = scale * (clamp(round(w / scale) + zero, 0,
// top) - zero), halves to even, on grid c. w [n] finite. Sums in float32, 256 elements at a time: good to about
// (256 + n / 256) * 1e-7 relative, enough to rank grids.
void grid_errors(const float* w, const float* importance, int64_t n, const GridCandidates& grids, float top,
                 float* error);
namespace scalar {
void grid_errors(const float* w, const float* importance, int64_t n, const GridCandidates& grids, float top,
                 float* error);
}

}  // namespace hesse
