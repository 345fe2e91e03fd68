#include "quant/target.h"

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/compute_row.h"
#include "linalg/factor.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

constexpr int64_t kTileRows = 64;

// Calls body(first, rows) in parallel for tiles of rows.
template <class Body>
void for_each_tile(int64_t rows, Body body) {
  parallel_for(ceil_div(rows, kTileRows),
               [&](int64_t tile) { body(tile * kTileRows, std::min(kTileRows, rows - tile * kTileRows)); });
}

// a - b, in their type.
ComputeMatrix difference(ConstComputeView a, ConstComputeView b) {
  ComputeMatrix result(a.type, a.rows, a.cols);
  for_each_tile(a.rows, [&](int64_t first, int64_t rows) {
    std::vector<float> scratch(static_cast<size_t>(3 * a.cols));
    float* const scratches[] = {scratch.data(), scratch.data() + a.cols, scratch.data() + 2 * a.cols};
    for (int64_t r = first; r < first + rows; ++r) {
      const float* left = read_row(a, r, scratches[0]);
      const float* right = read_row(b, r, scratches[1]);
      float* row = row_to_fill(result.view(), r, scratches[2]);
      for (int64_t c = 0; c < a.cols; ++c) row[c] = left[c] - right[c];
      store_row(row, result.view(), r);
    }
  });
  return result;
}

}  // namespace

void InputDrift::add(ConstComputeView original, ConstComputeView quantized) {
  const ComputeMatrix drift = difference(original, quantized);
  add_product_tn(drift.view(), quantized, cross_.view());
}

Matrix<double> InputDrift::correction(MatrixView<const float> weight, const ShiftOptions& options) const {
  Matrix<double> result = Matrix<double>::zeros(weight.rows, weight.cols);
  for_each_tile(weight.rows, [&](int64_t first, int64_t rows) {
    Matrix<double> transposed(weight.cols, rows);  // [in, rows] shift * W^T
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < weight.cols; ++c)
        transposed(c, r) = options.shift * static_cast<double>(weight(first + r, c));
    }
    gemm_tn_add(transposed.view(), cross_.view(), result.view().row_range(first, rows));
  });
  return result;
}

void OutputDrift::add(ConstComputeView x, ConstComputeView x_quantized, MatrixView<const float> h,
                      MatrixView<const float> h_quantized) {
  const ComputeMatrix drift = difference(x, x_quantized);
  Matrix<float> y(x.rows, weight_.rows);
  gemm_nt(drift.view(), weight_, y.view(), Output::kSet);
  ComputeMatrix rounded(ComputeType::kBF16, x.type == ComputeType::kF32 ? 0 : y.rows(), y.cols());
  const ComputeView sums = x.type == ComputeType::kF32 ? ComputeView(y.view()) : rounded.view();
  const float shift = static_cast<float>(options_.shift);
  const float residual = static_cast<float>(options_.residual);
  for_each_tile(y.rows(), [&](int64_t first, int64_t rows) {
    for (int64_t r = first; r < first + rows; ++r) {
      for (int64_t c = 0; c < y.cols(); ++c) y(r, c) *= shift;
      for (int64_t c = 0; residual != 0 && c < y.cols(); ++c) y(r, c) += residual * (h(r, c) - h_quantized(r, c));
      store_row(y.row(r), sums, r);
    }
  });
  add_product_tn(sums, x_quantized, sum_.view());
}

void ResidualDrift::add(MatrixView<const float> h_behind, MatrixView<const float> h_quantized,
                        ConstComputeView x_quantized) {
  Matrix<float> y(h_behind.rows, h_behind.cols);
  for_each_tile(y.rows(), [&](int64_t first, int64_t rows) {
    for (int64_t r = first; r < first + rows; ++r) {
      for (int64_t c = 0; c < y.cols(); ++c) y(r, c) = h_behind(r, c) - h_quantized(r, c);
      for (int64_t c = 0; c < std::ssize(bias_); ++c) y(r, c) -= bias_[static_cast<size_t>(c)];
    }
  });
  add_product_tn(std::as_const(y).view(), x_quantized, sum_.view());
}

Matrix<double> ResidualDrift::correction(MatrixView<const float> weight, const Hessian& hessian,
                                         const ShiftOptions& options) const {
  Matrix<double> result(weight.rows, weight.cols);
  const SymmetricView h = view_of(hessian);
  for_each_tile(weight.rows, [&](int64_t first, int64_t rows) {
    Matrix<double> transposed(weight.cols, rows), product = Matrix<double>::zeros(weight.cols, rows);  // W^T, H W^T
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < weight.cols; ++c) transposed(c, r) = static_cast<double>(weight(first + r, c));
    }
    add_product(h, 0, 0, transposed.view(), product.view());
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < weight.cols; ++c)
        result(first + r, c) = options.shift * (sum_(first + r, c) - product(c, r));
    }
  });
  return result;
}

bool can_sum_behind(const ShiftOptions& options, int64_t in, int64_t tokens) {
  constexpr int64_t kTokensPerChannel = 4;  // products in float64 are half as fast, and in small pieces less than that
  return options.shift != 0 && options.shift == options.residual && tokens >= kTokensPerChannel * in;
}

double target_damping(const ShiftOptions& options, double damping, int64_t in, int64_t tokens) {
  const double ridge = options.ridge * static_cast<double>(in) / static_cast<double>(std::max<int64_t>(1, tokens));
  return std::max(damping, ridge);
}

Matrix<float> shifted_target(MatrixView<const float> weight, MatrixView<const double> correction,
                             const PreparedHessian& prepared) {
  Matrix<float> target(weight.rows, weight.cols);
  for_each_tile(weight.rows, [&](int64_t first, int64_t rows) {
    Matrix<double> move = Matrix<double>::zeros(rows, weight.cols);  // in solving order
    for (int64_t r = 0; prepared.factored() && r < rows; ++r) {
      for (int64_t k = 0; k < weight.cols; ++k)
        move(r, k) = correction(first + r, prepared.order[static_cast<size_t>(k)]);
    }
    if (prepared.factored()) solve_rows(prepared.factor(), move.view());
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t k = 0; k < weight.cols; ++k) {
        const int64_t i = prepared.order[static_cast<size_t>(k)];
        target(first + r, i) = static_cast<float>(static_cast<double>(weight(first + r, i)) + move(r, k));
      }
    }
  });
  return target;
}

}  // namespace hesse
