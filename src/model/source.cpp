#include "model/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/compute_row.h"
#include "kernels/kernels.h"
#include "model/fp8.h"
#include "model/tensors.h"

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

// Values of a dtype that holds them exactly.
void store_values(const float* values, int64_t count, DType dtype, std::byte* to) {
  if (dtype == DType::kF32) {
    std::memcpy(to, values, static_cast<size_t>(count) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t bits = dtype == DType::kF16 ? float_to_f16(values[i]) : float_to_bf16(values[i]);
    std::memcpy(to + i * 2, &bits, sizeof bits);
  }
}

void store_part(const ExpertPart& part, const TensorSpec& spec, std::byte* to) {
  const int64_t in = part.bias ? 1 : part.of->in, size = dtype_size(spec.dtype);
  constexpr int64_t kRows = 64;
  parallel_for(ceil_div(part.out, kRows), [&](int64_t tile) {
    const int64_t first = tile * kRows, count = std::min(part.out - first, kRows);
    std::vector<float> values(static_cast<size_t>(count * in));
    part.read(first, count, values.data());
    store_values(values.data(), count * in, spec.dtype, to + first * in * size);
  });
}

// BF16, [experts, in, out].
void store_all(const ExpertsTensor& all, std::byte* to) {
  parallel_for(all.experts, [&](int64_t e) {
    std::vector<float> row(static_cast<size_t>(all.in));
    for (int64_t o = 0; o < all.out; ++o) {
      all.read(e, o, 1, row.data());
      for (int64_t i = 0; i < all.in; ++i)
        store_values(&row[static_cast<size_t>(i)], 1, DType::kBF16, to + all.index(e, o, i) * 2);
    }
  });
}

}  // namespace

bool is_read_as_plain(const Json* quantization_config) {
  return is_fp8_config(quantization_config) || is_mxfp4_config(quantization_config);
}

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

CheckpointSource::CheckpointSource(const Checkpoint& checkpoint, const ModelConfig& config) : checkpoint_(checkpoint) {
  experts_ = PackedExperts(checkpoint, choose_scheme(config, *this));
}

std::vector<PlainTensor> CheckpointSource::plain_tensors(ExpertsForm form) const {
  std::vector<PlainTensor> plain;
  for (const TensorView* view : checkpoint_.tensors()) {
    const std::string& name = view->spec.name;
    const ExpertsTensor* all = experts_.tensor_of(name);
    const bool scale =
        is_fp8_scale(checkpoint_, name) || (all != nullptr && all->mxfp4 != nullptr && view == &all->mxfp4->scales());
    if (scale || (all != nullptr && form == ExpertsForm::kApart)) continue;
    plain.push_back({view->spec, view, nullptr, nullptr});
    if (Fp8Weight(checkpoint_, *view)) plain.back().spec.dtype = DType::kBF16;
    if (all == nullptr || all->mxfp4 == nullptr || view == all->biases) continue;
    plain.back().spec = all->spec();
    plain.back().all = all;
  }
  if (form == ExpertsForm::kTogether) return plain;
  for (const auto& [name, part] : experts_.parts()) plain.push_back({part.spec(name), &part.in_file(), &part, nullptr});
  return plain;
}

PlainBytes CheckpointSource::plain_bytes(const PlainTensor& tensor) const {
  PlainBytes bytes;
  if (tensor.part != nullptr || tensor.all != nullptr) {
    bytes.own.resize(static_cast<size_t>(tensor.spec.bytes()));
    tensor.part != nullptr ? store_part(*tensor.part, tensor.spec, bytes.own.data())
                           : store_all(*tensor.all, bytes.own.data());
  } else if (Fp8Weight(checkpoint_, *tensor.in_file)) {
    constexpr std::string_view kWeight = ".weight";
    const std::string& name = tensor.spec.name;
    const ComputeMatrix weight =
        linear_as(ComputeType::kBF16, std::string_view(name).substr(0, name.size() - kWeight.size()));
    const auto from = std::as_bytes(std::span(weight.view().bf16().data, static_cast<size_t>(weight.size())));
    bytes.own.assign(from.begin(), from.end());
  } else {
    bytes.view = tensor.in_file->bytes;
    return bytes;
  }
  bytes.view = bytes.own;
  return bytes;
}

std::optional<BadValue> CheckpointSource::find_nonfinite(const PlainTensor& tensor) const {
  const TensorSpec& spec = tensor.spec;
  const bool known = tensor.part != nullptr || dtype_is_float16or32(tensor.in_file->spec.dtype) ||
                     static_cast<bool>(Fp8Weight(checkpoint_, *tensor.in_file));
  if (!known || spec.shape.empty()) return std::nullopt;
  const bool bias = tensor.part != nullptr && tensor.part->bias;
  const int64_t cols = bias ? 1 : std::max<int64_t>(1, spec.shape.back());
  const int64_t rows = spec.elements() / cols;
  const auto read = [&](int64_t row, int64_t count, float* values) {
    if (tensor.part != nullptr) return tensor.part->read(row, count, values);
    rows_of(*tensor.in_file, cols)(row, count, values);
  };
  std::vector<int64_t> columns(static_cast<size_t>(rows), cols);  // of the first bad value in each row
  constexpr int64_t kRows = 64;
  parallel_for(ceil_div(rows, kRows), [&](int64_t tile) {
    const int64_t first = tile * kRows, count = std::min(rows - first, kRows);
    std::vector<float> values(static_cast<size_t>(count * cols));
    read(first, count, values.data());
    for (int64_t row = 0; row < count; ++row) {
      const float* row_values = values.data() + row * cols;
      if (!std::isfinite(max_abs(row_values, cols)))
        columns[static_cast<size_t>(first + row)] = first_nonfinite(row_values, cols);
    }
  });
  const auto bad = std::find_if(columns.begin(), columns.end(), [&](int64_t column) { return column < cols; });
  if (bad == columns.end()) return std::nullopt;
  const int64_t row = bad - columns.begin();
  std::vector<float> values(static_cast<size_t>(cols));
  read(row, 1, values.data());
  return BadValue{row, *bad, values[static_cast<size_t>(*bad)]};
}

void CheckpointSource::refuse_nonfinite(const PlainTensor& tensor, const BadValue& bad) const {
  refuse_value(checkpoint_, tensor.spec.name, bad);
}

WeightSource::Shape CheckpointSource::linear_shape(std::string_view module, WeightLayout layout) const {
  const std::string name = fmt::format("{}.weight", module);
  const TensorView* view = checkpoint_.find(name);
  if (view == nullptr) {
    const ExpertPart* part = experts_.find(name);
    return part == nullptr ? Shape() : Shape{part->out, part->of->in};
  }
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
  const std::string name = fmt::format("{}.weight", module);
  if (const ExpertPart* part = experts_.find(name); part != nullptr && checkpoint_.find(name) == nullptr) {
    const Shape shape{part->out, part->of->in};
    ComputeMatrix weight = read_rows(
        type, module, shape, [&](int64_t first, int64_t count, float* values) { part->read(first, count, values); });
    checkpoint_.release(part->in_file());
    return weight;
  }
  const TensorView& view = checkpoint_.at(name);
  // Checks the tensor; a source that widens it reads what the file has.
  const Shape shape = CheckpointSource::linear_shape(module);
  ComputeMatrix weight = read_rows(type, module, shape, rows_of(view, shape.in));
  checkpoint_.release(view);
  return weight;
}

CheckpointSource::Rows CheckpointSource::rows_of(const TensorView& weight, int64_t in) const {
  const Fp8Weight fp8(checkpoint_, weight);
  return [&weight, fp8, in](int64_t first, int64_t count, float* values) {
    if (!fp8) return convert_to_float(weight, first * in, count * in, values);
    for (int64_t r = 0; r < count; ++r) fp8.row(first + r, values + r * in);
  };
}

ComputeMatrix CheckpointSource::read_rows(ComputeType type, std::string_view module, const Shape& shape,
                                          const Rows& rows) const {
  ComputeMatrix weight(type, shape.out, shape.in);
  constexpr int64_t kRows = 64;
  parallel_for(ceil_div(shape.out, kRows), [&](int64_t tile) {
    const int64_t first = tile * kRows, count = std::min(shape.out - first, kRows);
    const ComputeView target = weight.view().row_range(first, count);
    std::vector<float> scratch(static_cast<size_t>(type == ComputeType::kF32 ? 0 : count * shape.in));
    float* values = type == ComputeType::kF32 ? target.f32().data : scratch.data();
    rows(first, count, values);
    for (int64_t r = 0; r < count; ++r) {
      float* row = values + r * shape.in;
      if (!std::isfinite(max_abs(row, shape.in))) {
        if (!is_pardoned(module)) refuse_row(checkpoint_, fmt::format("{}.weight", module), row, first + r, shape.in);
        std::replace_if(
            row, row + shape.in, [](float value) { return !std::isfinite(value); }, 0.0f);
      }
      store_row(row, target, r);
    }
  });
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
  if (const ExpertPart* part = experts_.find(name); part != nullptr && checkpoint_.find(name) == nullptr) {
    std::vector<float> values(static_cast<size_t>(part->out));
    part->read(0, part->out, values.data());
    if (part->out != size)
      refuse(checkpoint_, name, fmt::format("has {} values; config.json asks for {}", part->out, size));
    if (!std::isfinite(max_abs(values.data(), size))) refuse_row(checkpoint_, name, values.data(), 0, size);
    return values;
  }
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
