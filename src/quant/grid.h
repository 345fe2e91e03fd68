// Scales and zero points of one linear, found before any code is chosen (static groups).
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "quant/spec.h"

namespace hesse {

enum class ScaleSearch {
  kMinMax,    // the grid that just covers the group
  kWeighted,  // the candidate with the least sum of weight_i * (w_i - q_i)^2
};

struct GridOptions {
  ScaleSearch search = ScaleSearch::kWeighted;
  // Symmetric grids reach 2^(bits-1) steps to one side and one step less to the other. A negative scale turns the long
  // side to the positive weights, so that the extreme weight of either sign can use code 0.
  bool negative_scales = true;
};

struct Grid {
  Matrix<float> scales;   // [groups, out] exactly representable as halves
  Matrix<uint8_t> zeros;  // [groups, out] 1 ... 2^bits - 1
};

// Scales below this in magnitude are raised to it: a half keeps too few bits there.
constexpr float kSmallestScale = 1e-5f;

// weight [out, in]; importance [in] >= 0, the weights of the search (not used by kMinMax).
// Scales are rounded to half before they are judged.
Grid find_grid(MatrixView<const float> weight, std::span<const float> importance, const LinearSpec& spec,
               const GridOptions& options);

// Codes by rounding each weight to its grid, half to even.
Matrix<uint8_t> round_to_grid(MatrixView<const float> weight, const Grid& grid, const LinearSpec& spec);

}  // namespace hesse
