// The whole algorithm on one page. With H + lambda I = R R^T, R upper, columns k in solving order, and for each row of
// W
//
//     t_k = w_k + (sum over i < k of e_i R_ik) / R_kk,   q_k = grid(t_k),   e_k = w_k - q_k
//
// t_k is the value that makes the k-th component of E R vanish, so that rounding it costs R_kk^2 (t_k - q_k)^2 and no
// more (docs/ALGORITHM.md, "Feedback form"). W is never changed: e_k is the true error of the weight.
// Rows are independent. A tile of rows is kept transposed, a column side by side over the rows; the errors of earlier
// blocks of columns reach a block through one matrix product, those inside the block one by one.
#include "quant/gptq.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/checked.h"
#include "base/threads.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

constexpr int64_t kTileRows = 64;
constexpr int64_t kBlockColumns = 64;

class TileSolver {
 public:
  TileSolver(MatrixView<const float> weight, const PreparedHessian& prepared, const LinearSpec& spec, const Grid& grid,
             Matrix<uint8_t>& codes)
      : weight_(weight), r_(prepared.factor.view()), order_(prepared.order), spec_(spec), grid_(grid), codes_(codes) {}

  void solve(int64_t first_row) const {
    const int64_t rows = std::min(kTileRows, weight_.rows - first_row);
    Matrix<double> error(weight_.cols, rows);  // [in, rows] e, in solving order
    Matrix<double> feedback(kBlockColumns, rows);
    for (int64_t begin = 0; begin < weight_.cols; begin += kBlockColumns) {
      const int64_t width = std::min(kBlockColumns, weight_.cols - begin);
      feedback.fill_zero();
      gemm_tn_add(r_.block(0, begin, begin, width), error.view().block(0, 0, begin, rows),
                  feedback.view().block(0, 0, width, rows));
      for (int64_t k = begin; k < begin + width; ++k) {
        double* sum = feedback.row(k - begin);
        for (int64_t i = begin; i < k; ++i) add_scaled(r_(i, k), error.row(i), sum, rows);
        choose_codes(k, first_row, rows, sum, error.row(k));
      }
    }
  }

 private:
  static void add_scaled(double factor, const double* from, double* to, int64_t n) {
    for (int64_t row = 0; row < n; ++row) to[row] += factor * from[row];
  }

  void choose_codes(int64_t k, int64_t first_row, int64_t rows, const double* sum, double* error) const {
    const int64_t column = order_[static_cast<size_t>(k)];
    const int64_t group = column / spec_.group_width(weight_.cols);
    const float* scales = grid_.scales.row(group) + first_row;
    const uint8_t* zeros = grid_.zeros.row(group) + first_row;
    const double pivot = r_(k, k);
    const double top = spec_.max_code();
    for (int64_t row = 0; row < rows; ++row) {
      const double w = static_cast<double>(weight_(first_row + row, column));
      const double scale = static_cast<double>(scales[row]);
      const double t = w + sum[row] / pivot;
      const double code = std::clamp(std::nearbyint(t / scale) + zeros[row], 0.0, top);
      codes_(first_row + row, column) = static_cast<uint8_t>(code);
      error[row] = w - scale * (code - zeros[row]);
    }
  }

  MatrixView<const float> weight_;
  MatrixView<const double> r_;
  const std::vector<int32_t>& order_;
  const LinearSpec& spec_;
  const Grid& grid_;
  Matrix<uint8_t>& codes_;
};

}  // namespace

QuantizedLinear solve_gptq(MatrixView<const float> weight, const PreparedHessian* prepared, const LinearSpec& spec,
                           const GridOptions& options) {
  Grid grid = find_grid(weight, prepared->importance, spec, options);
  Matrix<uint8_t> codes(weight.rows, weight.cols);
  const TileSolver tile(weight, *prepared, spec, grid, codes);
  parallel_for(ceil_div(weight.rows, kTileRows), [&](int64_t i) { tile.solve(i * kTileRows); });
  return {spec, std::move(codes), std::move(grid.scales), std::move(grid.zeros),
          contiguous_groups(weight.cols, spec.group_width(weight.cols))};
}

}  // namespace hesse
