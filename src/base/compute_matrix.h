// Matrices that the forward pass multiplies: of float32, or of bfloat16 as bits.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/dtype.h"
#include "base/matrix.h"

namespace hesse {

enum class ComputeType { kF32, kBF16 };

[[noreturn]] void refuse_compute_type(ComputeType asked);  // Error(kInternal)

// A view of [rows, cols] elements of either type. Void is void or const void.
template <class Void>
struct BasicComputeView {
  template <class T>
  using Element = std::conditional_t<std::is_const_v<Void>, const T, T>;

  Void* data = nullptr;
  ComputeType type = ComputeType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // in elements

  BasicComputeView() = default;
  BasicComputeView(MatrixView<Element<float>> m) : BasicComputeView(ComputeType::kF32, m) {}
  BasicComputeView(MatrixView<Element<uint16_t>> m) : BasicComputeView(ComputeType::kBF16, m) {}
  // Views that may write convert to views that may not.
  template <class T, class = std::enable_if_t<std::is_const_v<Void> && !std::is_const_v<T>>>
  BasicComputeView(MatrixView<T> m) : BasicComputeView(MatrixView<const T>(m)) {}
  template <class Other, class = std::enable_if_t<std::is_const_v<Void> && !std::is_const_v<Other>>>
  BasicComputeView(const BasicComputeView<Other>& o)
      : data(o.data), type(o.type), rows(o.rows), cols(o.cols), stride(o.stride) {}

  // The elements by their type; Error(kInternal) when it is the other one.
  MatrixView<Element<float>> f32() const { return view_as<Element<float>>(ComputeType::kF32); }
  MatrixView<Element<uint16_t>> bf16() const { return view_as<Element<uint16_t>>(ComputeType::kBF16); }
  // One element; whole rows are for the kernels.
  float at(int64_t r, int64_t c) const {
    return (type == ComputeType::kF32) ? f32()(r, c) : bf16_to_float(bf16()(r, c));
  }

  BasicComputeView block(int64_t r0, int64_t c0, int64_t r, int64_t c) const {
    if (type == ComputeType::kF32) return f32().block(r0, c0, r, c);
    return bf16().block(r0, c0, r, c);
  }
  BasicComputeView row_range(int64_t first, int64_t count) const { return block(first, 0, count, cols); }

 private:
  template <class T>
  BasicComputeView(ComputeType t, MatrixView<T> m)
      : data(m.data), type(t), rows(m.rows), cols(m.cols), stride(m.stride) {}
  template <class T>
  MatrixView<T> view_as(ComputeType asked) const {
    if (type != asked) refuse_compute_type(asked);
    return {static_cast<T*>(data), rows, cols, stride};
  }
};
using ComputeView = BasicComputeView<void>;
using ConstComputeView = BasicComputeView<const void>;

// Owns [rows, cols] elements of either type; movable, as Matrix.
class ComputeMatrix {
 public:
  ComputeMatrix() = default;
  ComputeMatrix(Matrix<float> m) : matrix_(std::move(m)) {}
  ComputeMatrix(Matrix<uint16_t> m) : matrix_(std::move(m)) {}
  // Elements are not initialised.
  ComputeMatrix(ComputeType type, int64_t rows, int64_t cols) {
    if (type == ComputeType::kF32) {
      matrix_ = Matrix<float>(rows, cols);
    } else {
      matrix_ = Matrix<uint16_t>(rows, cols);
    }
  }

  // As Matrix::in_memory_of. Memory of the other type is given back.
  static ComputeMatrix in_memory_of(ComputeMatrix old, ComputeType type, int64_t rows, int64_t cols) {
    if (old.type() != type) old = ComputeMatrix();
    if (type == ComputeType::kF32) return Matrix<float>::in_memory_of(take<float>(old), rows, cols);
    return Matrix<uint16_t>::in_memory_of(take<uint16_t>(old), rows, cols);
  }

  ComputeType type() const { return matrix_.index() == 0 ? ComputeType::kF32 : ComputeType::kBF16; }
  int64_t rows() const { return view().rows; }
  int64_t cols() const { return view().cols; }
  int64_t size() const { return rows() * cols(); }
  int64_t capacity() const {
    return std::visit([](const auto& m) { return m.capacity(); }, matrix_);
  }
  ComputeView view() {
    return std::visit([](auto& m) { return ComputeView(m.view()); }, matrix_);
  }
  ConstComputeView view() const {
    return std::visit([](const auto& m) { return ConstComputeView(m.view()); }, matrix_);
  }
  // The matrix by its type; std::bad_variant_access when it is the other one.
  Matrix<float>& f32() { return std::get<0>(matrix_); }
  const Matrix<float>& f32() const { return std::get<0>(matrix_); }

 private:
  template <class T>
  static Matrix<T> take(ComputeMatrix& from) {
    auto* matrix = std::get_if<Matrix<T>>(&from.matrix_);
    return matrix != nullptr ? std::move(*matrix) : Matrix<T>();
  }
  std::variant<Matrix<float>, Matrix<uint16_t>> matrix_;
};

// The rows `rows` of m, in that order.
ComputeMatrix copy_rows(ConstComputeView m, std::span<const int64_t> rows);
// The same to `to`, of the same type and width and with a row for each.
void copy_rows_to(ConstComputeView m, std::span<const int64_t> rows, ComputeView to);

}  // namespace hesse
