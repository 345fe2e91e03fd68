#include "run/activation_store.h"

#include "io/scratch_memory.h"

namespace hesse {
namespace {

int64_t element_bytes(ComputeType type) { return type == ComputeType::kF32 ? 4 : 2; }

}  // namespace

Matrix<float> ActivationStore::matrix(int64_t rows, int64_t cols) const {
  if (!folder_ || rows * cols == 0) return Matrix<float>(rows, cols);
  return {scratch_memory(*folder_, rows * cols * element_bytes(ComputeType::kF32)), rows, cols};
}

ComputeMatrix ActivationStore::matrix_in(ComputeMatrix old, ComputeType type, int64_t rows, int64_t cols) const {
  const bool fits = old.type() == type && rows * cols <= old.capacity();
  if (!folder_ || fits || rows * cols == 0) return ComputeMatrix::in_memory_of(std::move(old), type, rows, cols);
  old = {};  // before the new one takes room
  const ForeignMemory memory = scratch_memory(*folder_, rows * cols * element_bytes(type));
  if (type == ComputeType::kF32) return Matrix<float>(memory, rows, cols);
  return Matrix<uint16_t>(memory, rows, cols);
}

void ActivationStore::put_aside(ConstComputeView rows) const {
  if (!folder_ || rows.data == nullptr) return;
  hesse::put_aside(rows.data, rows.rows * rows.stride * element_bytes(rows.type));
}

}  // namespace hesse
