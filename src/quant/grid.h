// Scales and zero points of one linear, found before any code is chosen (static groups).
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "quant/options.h"
#include "quant/spec.h"

namespace hesse {

struct Grid {
  Matrix<float> scales;   // [groups, out] exactly representable as halves
  Matrix<uint8_t> zeros;  // [groups, out] 1 ... 2^bits - 1
};

// Scales below this in magnitude are raised to it: a half keeps too few bits there.
constexpr float kSmallestScale = 1e-5f;

// A candidate for one group of one row. A negative error marks none.
struct RankedGrid {
  float scale = kSmallestScale;
  int zero = 1;
  float error = -1;  // sum of importance_i * (w_i - q_i)^2
};

// The best grids of one group, least error first; as many as `best` has room for and candidates exist. kMinMax has one.
void best_grids(std::span<const float> weight, std::span<const float> importance, const LinearSpec& spec,
                const GridOptions& options, std::span<RankedGrid> best);

// The nearest half of at least kSmallestScale in magnitude, away from infinity, with the sign kept; for NaN the
// smallest.
float storable_scale(float scale);

// A whole number as a code: 0 ... top, 0 for NaN.
inline uint8_t to_code(double value, int top) {
  if (!(value > 0)) return 0;
  return value < top ? static_cast<uint8_t>(value) : static_cast<uint8_t>(top);
}

// weight [out, in]; importance [in] >= 0, the weights of the search (not used by kMinMax).
// Scales are rounded to half before they are judged.
Grid find_grid(MatrixView<const float> weight, std::span<const float> importance, const LinearSpec& spec,
               const GridOptions& options);

// Codes by rounding each weight to its grid, half to even.
Matrix<uint8_t> round_to_grid(MatrixView<const float> weight, const Grid& grid, const LinearSpec& spec);

}  // namespace hesse
