#include "base/compute_matrix.h"

#include <algorithm>

#include "hesse/error.h"

namespace hesse {
namespace {

template <class T>
Matrix<T> rows_of(MatrixView<const T> m, std::span<const int64_t> rows) {
  Matrix<T> copy(static_cast<int64_t>(rows.size()), m.cols);
  for (size_t i = 0; i < rows.size(); ++i) std::copy_n(m.row(rows[i]), m.cols, copy.row(static_cast<int64_t>(i)));
  return copy;
}

}  // namespace

void refuse_compute_type(ComputeType asked) {
  throw Error(ErrorKind::kInternal, asked == ComputeType::kF32
                                        ? "[compute matrix] asked for float32 elements; they are bfloat16"
                                        : "[compute matrix] asked for bfloat16 elements; they are float32");
}

ComputeMatrix copy_rows(ConstComputeView m, std::span<const int64_t> rows) {
  if (m.type == ComputeType::kF32) return rows_of(m.f32(), rows);
  return rows_of(m.bf16(), rows);
}

}  // namespace hesse
