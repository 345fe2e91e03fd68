// How far the weights moved, counted in steps of their grid.
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"
#include "quant/spec.h"

namespace hesse {

// `count` bins of equal width between -steps and steps; what lies outside is counted too.
struct ErrorBins {
  double steps = 1;
  int count = 1;
};

// Weights by (w - q) / |scale|, q being what `linear` stands for: those below -bins.steps, the bins (each without its
// upper end), and all others. weight [out, in], finite.
std::vector<int64_t> count_errors(MatrixView<const float> weight, const QuantizedLinear& linear, const ErrorBins& bins);

}  // namespace hesse
