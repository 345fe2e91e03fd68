#include "quant/rtn.h"

#include <utility>
#include <vector>

#include "quant/grid.h"

namespace hesse {

QuantizedLinear solve_rtn(MatrixView<const float> weight, const PreparedHessian* prepared, const LinearSpec& spec,
                          const GptqOptions& options) {
  const std::vector<float> alike(static_cast<size_t>(weight.cols), 1.0f);
  Grid grid = find_grid(weight, prepared != nullptr ? prepared->importance : alike, spec, options.grid);
  Matrix<uint8_t> codes = round_to_grid(weight, grid, spec);
  return {spec, std::move(codes), std::move(grid.scales), std::move(grid.zeros),
          contiguous_groups(weight.cols, spec.group_width(weight.cols))};
}

}  // namespace hesse
