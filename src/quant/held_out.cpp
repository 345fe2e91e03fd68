#include "quant/held_out.h"

#include <algorithm>
#include <limits>

#include "quant/gptq.h"
#include "quant/solver.h"

namespace hesse {
namespace {

Matrix<float> some_rows(MatrixView<const float> weight, int64_t most) {
  const int64_t count = std::min(most, weight.rows);
  Matrix<float> rows(count, weight.cols);
  for (int64_t r = 0; r < count; ++r) std::copy_n(weight.row(r * weight.rows / count), weight.cols, rows.row(r));
  return rows;
}

double relative_error(const Matrix<float>& weight, const Matrix<float>& error, const Hessian& h) {
  const double energy = quadratic_loss(weight.view(), h.sum);
  return energy > 0 ? quadratic_loss(error.view(), h.sum) / energy : 0.0;
}

Hessian copy_of(const Hessian& h) {
  Hessian copy(h.in());
  copy.sum = h.sum.clone();
  copy.tokens = h.tokens;
  return copy;
}

}  // namespace

HeldOutErrors held_out_errors(MatrixView<const float> weight, const PreparedHessian& fit, const Hessian& held_out,
                              const LinearSpec& spec, const GptqOptions& options) {
  GptqOptions quick = options;
  quick.sweeps = std::min(1, options.sweeps);  // later sweeps change both errors alike, and little
  const Matrix<float> rows = some_rows(weight, kHeldOutRows);
  Matrix<float> error = dequantize(solve_gptq(rows.view(), &fit, spec, quick));
  for (int64_t i = 0; i < error.size(); ++i) error.data()[i] = rows.data()[i] - error.data()[i];
  return {relative_error(rows, error, fit.hessian), relative_error(rows, error, held_out)};
}

double best_damping(std::span<const MatrixView<const float>> weights, const Hessian& fit, const Hessian& held_out,
                    const LinearSpec& spec, const GptqOptions& options) {
  double least = std::numeric_limits<double>::infinity();
  double best = options.damping;
  for (const double damping : kDampings) {
    const PreparedHessian prepared =
        prepare_hessian(copy_of(fit), {damping, options.order, spec.group_width(fit.in())});
    if (!prepared.factored()) continue;
    double sum = 0;
    for (const auto& weight : weights) sum += held_out_errors(weight, prepared, held_out, spec, options).held_out;
    if (sum < least) {
      least = sum;
      best = damping;
    }
  }
  return best;
}

}  // namespace hesse
