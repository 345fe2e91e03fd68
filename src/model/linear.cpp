#include "model/linear.h"

#include <fmt/format.h>

#include <algorithm>

#include "hesse/error.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"
#include "model/rows.h"

namespace hesse {

Linear load_linear(const WeightSource& source, const LinearShape& shape, ComputeType compute) {
  const WeightSource::Shape found = source.linear_shape(shape.name, shape.layout);
  if (found.out == 0) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[weights] '{}' is not in the checkpoint; incomplete download?", shape.name));
  }
  if (found.out != shape.out || found.in != shape.in) {
    throw Error(ErrorKind::kBadInput, fmt::format("[weights] '{}' has shape [{}, {}]; config.json asks for [{}, {}]",
                                                  shape.name, found.out, found.in, shape.out, shape.in));
  }
  Linear linear{shape.name, source.linear_as(compute, shape.name, shape.layout), {}};
  if (shape.bias) linear.bias = source.vector(shape.name + ".bias", shape.out);
  return linear;
}

void apply_linear(const Linear& linear, ConstComputeView x, MatrixView<float> y) {
  gemm_nt(x, linear.weight.view(), y, Output::kSet);
  if (!linear.bias.empty()) for_each_row(y.rows, [&](int64_t r) { add(y.row(r), linear.bias.data(), y.cols); });
}

void apply_linear(const Linear& linear, ConstComputeView x, MatrixView<float> y, float* peak) {
  apply_linear(linear, x, y);
  if (peak == nullptr) return;
  std::vector<float> peaks(static_cast<size_t>(y.rows));
  for_each_row(y.rows, [&](int64_t r) { peaks[static_cast<size_t>(r)] = max_abs(y.row(r), y.cols); });
  for (const float value : peaks) *peak = std::max(*peak, value);
}

}  // namespace hesse
