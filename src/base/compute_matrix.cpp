#include "base/compute_matrix.h"

#include <algorithm>

#include "hesse/error.h"

namespace hesse {
namespace {

template <class T>
void put_rows(MatrixView<const T> m, std::span<const int64_t> rows, MatrixView<T> to) {
  for (size_t i = 0; i < rows.size(); ++i) std::copy_n(m.row(rows[i]), m.cols, to.row(static_cast<int64_t>(i)));
}

}  // namespace

void refuse_compute_type(ComputeType asked) {
  throw Error(ErrorKind::kInternal, asked == ComputeType::kF32
                                        ? "[compute matrix] asked for float32 elements; they are bfloat16"
                                        : "[compute matrix] asked for bfloat16 elements; they are float32");
}

ComputeMatrix copy_rows(ConstComputeView m, std::span<const int64_t> rows) {
  ComputeMatrix copy(m.type, static_cast<int64_t>(rows.size()), m.cols);
  copy_rows_to(m, rows, copy.view());
  return copy;
}

void copy_rows_to(ConstComputeView m, std::span<const int64_t> rows, ComputeView to) {
  if (m.type == ComputeType::kF32) return put_rows(m.f32(), rows, to.f32());
  put_rows(m.bf16(), rows, to.bf16());
}

}  // namespace hesse
