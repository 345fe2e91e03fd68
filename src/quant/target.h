// Where the weights should go when their inputs have moved. Behind quantized layers a linear no longer sees the input x
// of the original model but x~. The target W* = W + N (H + lambda I)^-1 answers to that, with H the Hessian of x~ and
//
//     N = shift * W * sum (x - x~) x~^T  +  residual * sum (h - h~) x~^T
//
// The first term takes back a share of the change of the linear's own output; shift = 1 minimises the sum of
// |W x - W* x~|^2 (GPTAQ: Li and others 2025, arXiv:2504.02692). The second is for linears that write into the residual
// stream h: it takes back a share of what the stream has drifted already. Of noise that has nothing to do with x~, a
// regression on `in` channels explains the share in / tokens by chance, layer after layer; so lambda grows with it.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/compute_matrix.h"
#include "base/matrix.h"
#include "quant/hessian.h"
#include "quant/options.h"
#include "quant/prepared.h"

namespace hesse {

// The first term alone, for linears that share an input: sums the drift of the input once for all of them.
class InputDrift {
 public:
  explicit InputDrift(int64_t in) : cross_(Matrix<double>::zeros(in, in)) {}
  // Rows of one batch of tokens, [tokens, in], of one type: the original model's input and the quantized model's.
  void add(ConstComputeView original, ConstComputeView quantized);
  Matrix<double> correction(MatrixView<const float> weight, const ShiftOptions& options) const;  // N [out, in]

 private:
  Matrix<double> cross_;  // [in, in] sum (x - x~) x~^T
};

// Both terms, for one linear; the second only where it writes into the residual stream (residual = 0 elsewhere).
// `weight` [out, in] is of the type of the inputs and used until the last add(). With bfloat16, what is multiplied by
// an input is rounded to it as well.
class OutputDrift {
 public:
  OutputDrift(ConstComputeView weight, const ShiftOptions& options)
      : weight_(weight), options_(options), sum_(Matrix<double>::zeros(weight.rows, weight.cols)) {}
  // Inputs [tokens, in] and residual streams [tokens, out] of one batch, original and quantized; h is not looked at
  // with residual = 0.
  void add(ConstComputeView x, ConstComputeView x_quantized, MatrixView<const float> h,
           MatrixView<const float> h_quantized);
  const Matrix<double>& correction() const { return sum_; }  // N [out, in]

 private:
  ConstComputeView weight_;
  ShiftOptions options_;
  Matrix<double> sum_;
};

// Both terms for a linear that writes into the residual stream, where shift = residual. The original stream behind it,
// h' = h + W x + b, holds both, so that no product with W is needed for every token:
//
//     N = shift * (sum (h' - b - h~) x~^T - W H)
//
// A difference of sums that are larger than N: what is lost are the digits by which the drift is smaller than the
// streams, of sums that are good to seven.
class ResidualDrift {
 public:
  // `bias` [out] or empty.
  ResidualDrift(int64_t out, int64_t in, std::vector<float> bias)
      : bias_(std::move(bias)), sum_(Matrix<double>::zeros(out, in)) {}
  // One batch: the original stream behind the linear and the quantized one in front of it [tokens, out], the quantized
  // model's input [tokens, in] in float32.
  void add(MatrixView<const float> h_behind, MatrixView<const float> h_quantized, ConstComputeView x_quantized);
  // N [out, in]; `hessian` is that of the same tokens.
  Matrix<double> correction(MatrixView<const float> weight, const Hessian& hessian, const ShiftOptions& options) const;

 private:
  std::vector<float> bias_;
  Matrix<double> sum_;  // [out, in] sum (h' - b - h~) x~^T
};
// Whether that is possible and less work: W H is one product in float64, the other way one in float32 a token.
bool can_sum_behind(const ShiftOptions& options, int64_t in, int64_t tokens);

// lambda / mean diag(H) of the regression for inputs of `in` channels; `damping` is that of the solve.
double target_damping(const ShiftOptions& options, double damping, int64_t in, int64_t tokens);

// W* [out, in] from N; W itself when the Hessian could not be factored.
Matrix<float> shifted_target(MatrixView<const float> weight, MatrixView<const double> correction,
                             const PreparedHessian& prepared);

}  // namespace hesse
