#include "run/measure_linears.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "plan/split_columns.h"
#include "quant/gptq.h"

namespace hesse {
namespace {

constexpr int64_t kSolvedRows = 128;  // of a linear, at every candidate

Matrix<float> every_nth_row(MatrixView<const float> weight, int64_t count) {
  Matrix<float> rows(count, weight.cols);
  for (int64_t r = 0; r < count; ++r) std::copy_n(weight.row(r * weight.rows / count), weight.cols, rows.row(r));
  return rows;
}

Matrix<float> columns_of(MatrixView<const float> weight, const ColumnRange& range) {
  Matrix<float> part(weight.rows, range.count);
  for (int64_t r = 0; r < weight.rows; ++r) std::copy_n(weight.row(r) + range.first, range.count, part.row(r));
  return part;
}

// Tokens with values that are not finite are left out.
Hessian hessian_of(ConstComputeView x, const ColumnRange& range) {
  Hessian hessian(range.count);
  for (int64_t first = 0; first < x.rows; first += kBatchRows) {
    const int64_t count = std::min(kBatchRows, x.rows - first);
    const ConstComputeView part = x.block(first, range.first, count, range.count);
    const std::vector<float> peaks = row_peaks(part);
    std::vector<int64_t> good;
    for (int64_t r = 0; r < count; ++r) {
      if (std::isfinite(peaks[static_cast<size_t>(r)])) good.push_back(r);
    }
    if (std::ssize(good) == count) {
      hessian.add(part);
    } else {
      const ComputeMatrix usable = copy_rows(part, good);
      hessian.add(usable.view());
    }
  }
  return hessian;
}

// Groups wider than the row are one of the whole row.
LinearSpec fitting(LinearSpec spec, int64_t in) {
  if (spec.group_size > in) spec.group_size = -1;
  return spec;
}

}  // namespace

LinearMeter::LinearMeter(const Job& job, std::vector<LinearSpec> specs)
    : job_(job), specs_(std::move(specs)), quick_(job.gptq) {
  quick_.joint_candidates = 1;
  quick_.sweeps = 0;
  quick_.order = ColumnOrder::kActivation;  // one factor for groups of every width
  if (quick_.damping == kDampingByData) quick_.damping = kStandardDamping;
}

void LinearMeter::measure(const Block::Stage& stage, ConstComputeView x, LossesByName& losses) const {
  for (const Linear& linear : stage.linears) {
    LinearLosses& found = losses[linear.name];
    found.losses.assign(specs_.size(), 0.0);
    found.probe = Matrix<float>(linear.weight.rows(), stage.in());
  }
  for (const ColumnRange& range : split_columns(stage.in(), kProbe.group_size, job_.hessian_memory_bytes)) {
    const PreparedHessian prepared =
        prepare_hessian(hessian_of(x, range), {quick_.damping, quick_.order, kProbe.group_size});
    for (const Linear& linear : stage.linears) {
      const Matrix<float> weight = columns_of(job_.source->linear(linear.name).view(), range);
      measure_linear(weight, prepared, range, losses[linear.name]);
    }
  }
}

// A Hessian without a factor leaves rounding to nearest.
Matrix<float> LinearMeter::error_of(const Matrix<float>& weight, const PreparedHessian& prepared,
                                    const LinearSpec& spec) const {
  const Solver& method = prepared.factored() ? *job_.solver : solver("rtn");
  Matrix<float> error = dequantize(method.solve(weight.view(), &prepared, spec, quick_));
  for (int64_t i = 0; i < error.size(); ++i) error.data()[i] = weight.data()[i] - error.data()[i];
  return error;
}

void LinearMeter::measure_linear(const Matrix<float>& weight, const PreparedHessian& prepared, const ColumnRange& range,
                                 LinearLosses& found) const {
  const int64_t some = std::min(weight.rows(), kSolvedRows);
  const Matrix<float> rows = every_nth_row(weight.view(), some);
  const double share = static_cast<double>(weight.rows()) / static_cast<double>(some);
  for (size_t i = 0; i < specs_.size(); ++i) {
    const Matrix<float> error = error_of(rows, prepared, fitting(specs_[i], range.count));
    found.losses[i] += quick_quadratic_loss(error.view(), prepared.h()) * share;
  }
  const Matrix<float> error = error_of(weight, prepared, fitting(kProbe, range.count));
  found.probe_loss += quick_quadratic_loss(error.view(), prepared.h());
  for (int64_t o = 0; o < weight.rows(); ++o) {
    for (int64_t i = 0; i < range.count; ++i) found.probe(o, range.first + i) = weight(o, i) - error(o, i);
  }
}

}  // namespace hesse
