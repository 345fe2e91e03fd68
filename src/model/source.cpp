#include "model/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/compute_row.h"
#include "kernels/kernels.h"
#include "model/fp8.h"

namespace hesse {
namespace {

std::string place(const Checkpoint& checkpoint) { return checkpoint.directory().filename().string(); }

[[noreturn]] void refuse(const Checkpoint& checkpoint, std::string_view tensor, const std::string& why) {
  throw Error(ErrorKind::kBadInput, fmt::format("[weights] {}: '{}' {}", place(checkpoint), tensor, why));
}

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

void require_float(const Checkpoint& checkpoint, const TensorView& view) {
  if (!dtype_is_float16or32(view.spec.dtype)) {
    refuse(checkpoint, view.spec.name,
           fmt::format("has dtype {}; expected F16, BF16 or F32", dtype_name(view.spec.dtype)));
  }
}

int64_t first_nonfinite(const float* row, int64_t cols) {
  int64_t i = 0;
  while (i < cols && std::isfinite(row[i])) ++i;
  return i;
}

[[noreturn]] void refuse_value(const Checkpoint& checkpoint, std::string_view tensor, const BadValue& bad) {
  refuse(checkpoint, tensor,
         fmt::format("has {} at row {}, column {}; damaged file or failed training? --on-nonfinite skip-module goes on "
                     "without this linear",
                     bad.value, bad.row, bad.column));
}

void refuse_row(const Checkpoint& checkpoint, std::string_view tensor, const float* values, int64_t row, int64_t cols) {
  const int64_t column = first_nonfinite(values, cols);
  refuse_value(checkpoint, tensor, {row, column, values[column]});
}

Matrix<float> transposed(const Matrix<float>& m) {
  Matrix<float> result(m.cols(), m.rows());
  parallel_for(result.rows(), [&](int64_t r) {
    for (int64_t c = 0; c < result.cols(); ++c) result(r, c) = m(c, r);
  });
  return result;
}

}  // namespace

void convert_to_float(const TensorView& view, int64_t first, int64_t count, float* out) {
  const int64_t size = dtype_size(view.spec.dtype);
  const std::byte* from = view.bytes.data() + first * size;
  if (view.spec.dtype == DType::kF32) {
    std::memcpy(out, from, static_cast<size_t>(count * size));
    return;
  }
  const auto convert = (view.spec.dtype == DType::kF16) ? f16_to_f32 : bf16_to_f32;
  if (reinterpret_cast<uintptr_t>(from) % alignof(uint16_t) == 0) {
    convert(reinterpret_cast<const uint16_t*>(from), out, count);
    return;
  }
  // A file may put its data at an odd byte.
  std::vector<uint16_t> aligned(static_cast<size_t>(count));
  std::memcpy(aligned.data(), from, static_cast<size_t>(count * size));
  convert(aligned.data(), out, count);
}

std::optional<BadValue> CheckpointSource::find_nonfinite(const TensorView& tensor) const {
  if (!dtype_is_float16or32(tensor.spec.dtype) || tensor.spec.shape.empty()) return std::nullopt;
  const int64_t cols = std::max<int64_t>(1, tensor.spec.shape.back());
  const int64_t rows = tensor.spec.elements() / cols;
  std::vector<int64_t> columns(static_cast<size_t>(rows), cols);  // of the first bad value in each row
  constexpr int64_t kRows = 64;
  parallel_for(ceil_div(rows, kRows), [&](int64_t tile) {
    std::vector<float> values(static_cast<size_t>(cols));
    for (int64_t row = tile * kRows; row < std::min(rows, tile * kRows + kRows); ++row) {
      convert_to_float(tensor, row * cols, cols, values.data());
      if (!std::isfinite(max_abs(values.data(), cols)))
        columns[static_cast<size_t>(row)] = first_nonfinite(values.data(), cols);
    }
  });
  const auto bad = std::find_if(columns.begin(), columns.end(), [&](int64_t column) { return column < cols; });
  if (bad == columns.end()) return std::nullopt;
  BadValue found{bad - columns.begin(), *bad, 0};
  convert_to_float(tensor, found.row * cols + found.column, 1, &found.value);
  return found;
}

void CheckpointSource::refuse_nonfinite(const TensorView& tensor, const BadValue& bad) const {
  refuse_value(checkpoint_, tensor.spec.name, bad);
}

WeightSource::Shape CheckpointSource::linear_shape(std::string_view module, WeightLayout layout) const {
  const TensorView* view = checkpoint_.find(fmt::format("{}.weight", module));
  if (view == nullptr) return {};
  if (view->spec.shape.size() != 2) {
    refuse(checkpoint_, view->spec.name,
           fmt::format("has shape {}; expected two dimensions", shape_text(view->spec.shape)));
  }
  if (!Fp8Weight(checkpoint_, *view)) require_float(checkpoint_, *view);
  const auto& shape = view->spec.shape;
  return layout == WeightLayout::kOutIn ? Shape{shape[0], shape[1]} : Shape{shape[1], shape[0]};
}

ComputeMatrix CheckpointSource::linear_as(ComputeType type, std::string_view module, WeightLayout layout) const {
  if (layout == WeightLayout::kInOut) {
    return to_compute_type(type, transposed(linear_as(ComputeType::kF32, module).f32()));
  }
  const Shape shape = linear_shape(module);
  const TensorView& view = checkpoint_.at(fmt::format("{}.weight", module));
  const Fp8Weight fp8(checkpoint_, view);
  ComputeMatrix weight(type, shape.out, shape.in);
  constexpr int64_t kRows = 64;
  parallel_for(ceil_div(shape.out, kRows), [&](int64_t tile) {
    std::vector<float> scratch(static_cast<size_t>(shape.in));
    for (int64_t row = tile * kRows; row < std::min(shape.out, tile * kRows + kRows); ++row) {
      float* values = row_to_fill(weight.view(), row, scratch.data());
      if (fp8) {
        fp8.row(row, values);
      } else {
        convert_to_float(view, row * shape.in, shape.in, values);
      }
      if (!std::isfinite(max_abs(values, shape.in))) {
        if (!is_pardoned(module)) refuse_row(checkpoint_, view.spec.name, values, row, shape.in);
        std::replace_if(
            values, values + shape.in, [](float value) { return !std::isfinite(value); }, 0.0f);
      }
      store_row(values, weight.view(), row);
    }
  });
  checkpoint_.release(view);
  return weight;
}

ComputeMatrix to_compute_type(ComputeType type, Matrix<float> m) {
  if (type == ComputeType::kF32) return m;
  ComputeMatrix converted(type, m.rows(), m.cols());
  constexpr int64_t kRows = 64;
  parallel_for(ceil_div(m.rows(), kRows), [&](int64_t tile) {
    for (int64_t row = tile * kRows; row < std::min(m.rows(), tile * kRows + kRows); ++row)
      store_row(m.row(row), converted.view(), row);
  });
  return converted;
}

std::vector<float> CheckpointSource::vector(std::string_view name, int64_t size) const {
  const TensorView& view = checkpoint_.at(name);
  if (view.spec.shape != std::vector<int64_t>{size}) {
    refuse(checkpoint_, name,
           fmt::format("has shape {}; config.json asks for [{}]", shape_text(view.spec.shape), size));
  }
  require_float(checkpoint_, view);
  std::vector<float> values(static_cast<size_t>(size));
  convert_to_float(view, 0, size, values.data());
  if (!std::isfinite(max_abs(values.data(), size))) refuse_row(checkpoint_, name, values.data(), 0, size);
  return values;
}

Matrix<float> CheckpointSource::rows(std::string_view name, std::span<const int32_t> ids, int64_t cols) const {
  const TensorView& view = checkpoint_.at(name);
  if (view.spec.shape.size() != 2 || view.spec.shape[1] != cols) {
    refuse(checkpoint_, name,
           fmt::format("has shape {}; config.json asks for [*, {}]", shape_text(view.spec.shape), cols));
  }
  require_float(checkpoint_, view);
  Matrix<float> result(static_cast<int64_t>(ids.size()), cols);
  parallel_for(result.rows(), [&](int64_t i) {
    const int64_t id = ids[static_cast<size_t>(i)];
    if (id < 0 || id >= view.spec.shape[0]) {
      throw Error(
          ErrorKind::kBadInput,
          fmt::format("[weights] {}: token id {} lies outside the {} rows of '{}'; does this tokenizer belong to "
                      "the model?",
                      place(checkpoint_), id, view.spec.shape[0], name));
    }
    convert_to_float(view, id * cols, cols, result.row(i));
    if (!std::isfinite(max_abs(result.row(i), cols))) refuse_row(checkpoint_, name, result.row(i), id, cols);
  });
  return result;
}

void CheckpointSource::prefetch(std::string_view module) const {
  if (const TensorView* view = checkpoint_.find(fmt::format("{}.weight", module))) checkpoint_.prefetch(*view);
}

}  // namespace hesse
