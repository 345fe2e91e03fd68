#include "quant/held_out.h"

#include <algorithm>
#include <limits>
#include <utility>

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

double relative_error(const Matrix<float>& weight, const Matrix<float>& error, const SymmetricView& h) {
  const double energy = quadratic_loss(weight.view(), h);
  return energy > 0 ? quadratic_loss(error.view(), h) / energy : 0.0;
}

}  // namespace

HeldOutErrors held_out_errors(MatrixView<const float> weight, const PreparedHessian& fit, const Hessian& held_out,
                              const LinearSpec& spec, const GptqOptions& options) {
  GptqOptions quick = options;
  quick.sweeps = std::min(1, options.sweeps);  // later sweeps change both errors alike, and little
  const Matrix<float> rows = some_rows(weight, kHeldOutRows);
  Matrix<float> error = dequantize(solve_gptq(rows.view(), &fit, spec, quick));
  for (int64_t i = 0; i < error.size(); ++i) error.data()[i] = rows.data()[i] - error.data()[i];
  return {relative_error(rows, error, fit.h()), relative_error(rows, error, view_of(held_out))};
}

double best_damping(std::span<const MatrixView<const float>> weights, Hessian& fit, const Hessian& held_out,
                    const LinearSpec& spec, const GptqOptions& options) {
  double least = std::numeric_limits<double>::infinity();
  double best = options.damping;
  for (const double damping : kDampings) {
    const int64_t group_width = spec.group_width(fit.in());
    PreparedHessian prepared = prepare_hessian(std::move(fit), {damping, options.order, group_width});
    double sum = 0;
    for (size_t i = 0; prepared.factored() && i < weights.size(); ++i)
      sum += held_out_errors(weights[i], prepared, held_out, spec, options).held_out;
    if (prepared.factored() && sum < least) {
      least = sum;
      best = damping;
    }
    fit = prepared.release();
  }
  return best;
}

}  // namespace hesse
