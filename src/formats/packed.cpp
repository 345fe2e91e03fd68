#include "formats/packed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr int kWidths[] = {2, 3, 4, 8};

// Widths at which [out, in] can be packed, as words for a human.
std::string fitting_widths(int64_t out, int64_t in) {
  std::string list;
  for (const int bits : kWidths) {
    if (in % packing_step(bits) != 0 || out % packing_step(bits) != 0) continue;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", bits);
  }
  return list.empty() ? "no width fits, leave it unquantized" : "bits that fit: " + list;
}

std::string step_problem(std::string_view what, int64_t size, int bits) {
  const int64_t step = packing_step(bits);
  if (size % step == 0) return "";
  if (bits == 3) return fmt::format("{} = {} is not a multiple of {}, as 3 bits need", what, size, step);
  return fmt::format("{} = {} is not a multiple of {} (32 / {} bits)", what, size, step, bits);
}

std::string shape_problem(const QuantizedLinear& linear) {
  const int64_t groups = linear.spec.groups(linear.in());
  const auto differs = [&](std::string_view what, const auto& matrix) -> std::string {
    if (matrix.rows() == groups && matrix.cols() == linear.out()) return "";
    return fmt::format("{} are [{}, {}], must be [{}, {}]", what, matrix.rows(), matrix.cols(), groups, linear.out());
  };
  if (const std::string problem = differs("scales", linear.scales); !problem.empty()) return problem;
  if (const std::string problem = differs("zero points", linear.zeros); !problem.empty()) return problem;
  if (static_cast<int64_t>(linear.group_of.size()) != linear.in())
    return fmt::format("group_of has {} entries for {} inputs", linear.group_of.size(), linear.in());
  return group_map_problem(linear.group_of, groups);
}

std::string code_problem(const QuantizedLinear& linear) {
  for (int64_t o = 0; o < linear.out(); ++o) {
    const uint8_t* row = linear.codes.row(o);
    const int largest = *std::max_element(row, row + linear.in());
    if (largest > linear.spec.max_code())
      return fmt::format("code {} in row {}, the largest is {}", largest, o, linear.spec.max_code());
  }
  return "";
}

std::string zero_problem(const QuantizedLinear& linear, int lowest) {
  const bool symmetric = linear.spec.symmetric;
  const int low = symmetric ? linear.spec.symmetric_zero() : lowest;
  const int high = symmetric ? linear.spec.symmetric_zero() : linear.spec.max_code();
  for (int64_t i = 0; i < linear.zeros.size(); ++i) {
    const int zero = linear.zeros.data()[i];
    if (zero >= low && zero <= high) continue;
    return fmt::format("zero point {} of group {}, output {} is not in {}...{}", zero, i / linear.zeros.cols(),
                       i % linear.zeros.cols(), low, high);
  }
  return "";
}

std::string scale_problem(const QuantizedLinear& linear) {
  for (int64_t i = 0; i < linear.scales.size(); ++i) {
    const float scale = linear.scales.data()[i];
    if (std::isfinite(scale) && scale != 0.0f && f16_to_float(float_to_f16(scale)) == scale) continue;
    return fmt::format("scale {} of group {}, output {} is no finite half other than 0", scale,
                       i / linear.scales.cols(), i % linear.scales.cols());
  }
  return "";
}

bool is_of_kind(DType dtype, Stored kind) {
  switch (kind) {
    case Stored::kWords:
      return dtype == DType::kI32;
    case Stored::kScales:
      return dtype_is_float16or32(dtype);
    case Stored::kShape:
      return dtype == DType::kI64 || dtype == DType::kI32;
  }
  return false;
}

std::string_view kind_name(Stored kind) {
  return kind == Stored::kWords ? "I32" : kind == Stored::kScales ? "F16, BF16 or F32" : "I64 or I32";
}

}  // namespace

void refuse(const Place& place, const std::string& what) {
  throw Error(ErrorKind::kBadInput, fmt::format("[{}] {}: {}", place.format, place.module, what));
}

void broken(const Place& place, const std::string& what) {
  throw Error(ErrorKind::kInternal, fmt::format("[{}] {}: {}", place.format, place.module, what));
}

std::string spec_problem(int64_t out, int64_t in, const LinearSpec& spec) {
  if (std::find(std::begin(kWidths), std::end(kWidths), spec.bits) == std::end(kWidths))
    return fmt::format("bits = {}, known are 2, 3, 4 and 8", spec.bits);
  if (out <= 0 || in <= 0) return fmt::format("the shape [{}, {}] is empty", out, in);
  if (spec.group_size < -1 || spec.group_size == 0)
    return fmt::format("group_size = {}, must be -1 (whole row) or positive", spec.group_size);
  if (spec.group_size > in) {
    return fmt::format("group_size = {} is larger than in = {}; use -1 (whole row) or at most {}", spec.group_size, in,
                       in);
  }
  return "";
}

std::string packing_problem(int64_t out, int64_t in, const LinearSpec& spec) {
  for (const auto& [what, size] : {std::pair("in", in), std::pair("out", out)}) {
    const std::string problem = step_problem(what, size, spec.bits);
    if (!problem.empty()) return problem + "; " + fitting_widths(out, in);
  }
  return "";
}

std::string ragged_problem(int64_t in, const LinearSpec& spec) {
  const int64_t width = spec.group_width(in);
  if (in % width == 0) return "";
  return fmt::format("in = {} is not a multiple of group_size = {}, and the last group may not be shorter", in, width);
}

std::string order_problem(const QuantizedLinear& linear) {
  const std::vector<int32_t> plain = contiguous_groups(linear.in(), linear.spec.group_width(linear.in()));
  const auto [a, b] = std::mismatch(linear.group_of.begin(), linear.group_of.end(), plain.begin(), plain.end());
  if (a == linear.group_of.end() && b == plain.end()) return "";
  return fmt::format("act-order groups: g_idx of input {} is {}, must be {}", a - linear.group_of.begin(),
                     a == linear.group_of.end() ? -1 : *a, b == plain.end() ? -1 : *b);
}

std::string group_map_problem(const std::vector<int32_t>& group_of, int64_t groups) {
  std::vector<bool> used(static_cast<size_t>(groups));
  for (size_t i = 0; i < group_of.size(); ++i) {
    if (group_of[i] < 0 || group_of[i] >= groups)
      return fmt::format("g_idx of input {} is {}, must be in 0...{}", i, group_of[i], groups - 1);
    used[static_cast<size_t>(group_of[i])] = true;
  }
  const auto unused = std::find(used.begin(), used.end(), false);
  if (unused == used.end()) return "";
  return fmt::format("g_idx gives group {} of {} no input", unused - used.begin(), groups);
}

std::string value_problem(const QuantizedLinear& linear, int lowest_zero) {
  if (std::string problem = shape_problem(linear); !problem.empty()) return problem;
  if (std::string problem = code_problem(linear); !problem.empty()) return problem;
  if (std::string problem = zero_problem(linear, lowest_zero); !problem.empty()) return problem;
  return scale_problem(linear);
}

Matrix<uint16_t> half_scales(const QuantizedLinear& linear) {
  Matrix<uint16_t> halves(linear.scales.rows(), linear.scales.cols());
  for (int64_t i = 0; i < halves.size(); ++i) halves.data()[i] = float_to_f16(linear.scales.data()[i]);
  return halves;
}

const TensorView& find_tensor(const Place& place, const Checkpoint& checkpoint, const Wanted& wanted) {
  const std::string_view suffix = wanted.suffix;
  const TensorView* tensor = checkpoint.find(fmt::format("{}.{}", place.module, suffix));
  if (tensor == nullptr) refuse(place, fmt::format("there is no tensor '{}.{}'", place.module, suffix));
  const TensorSpec& spec = tensor->spec;
  if (!is_of_kind(spec.dtype, wanted.kind))
    refuse(place, fmt::format("{} is {}, must be {}", suffix, dtype_name(spec.dtype), kind_name(wanted.kind)));
  if (spec.shape.size() != wanted.dimensions) {
    refuse(place, fmt::format("{} has {} dimensions, must have {}", suffix, spec.shape.size(), wanted.dimensions));
  }
  if (spec.elements() == 0) refuse(place, fmt::format("{} [{}] is empty", suffix, fmt::join(spec.shape, ", ")));
  return *tensor;
}

void check_shape(const Place& place, const TensorView& tensor, std::string_view suffix, std::vector<int64_t> shape) {
  if (tensor.spec.shape == shape) return;
  refuse(place,
         fmt::format("{} is [{}], must be [{}]", suffix, fmt::join(tensor.spec.shape, ", "), fmt::join(shape, ", ")));
}

std::vector<int32_t> copy_group_map(const Place& place, const TensorView& tensor, int64_t groups) {
  std::vector<int32_t> group_of(tensor.bytes.size() / sizeof(int32_t));
  std::memcpy(group_of.data(), tensor.bytes.data(), tensor.bytes.size());
  if (const std::string problem = group_map_problem(group_of, groups); !problem.empty()) refuse(place, problem);
  return group_of;
}

Matrix<float> copy_scales(const TensorView& tensor) {
  const int64_t rows = tensor.spec.shape[0], cols = tensor.spec.shape[1];
  if (tensor.spec.dtype == DType::kF32) return copy_tensor<float>(tensor, rows, cols);
  const bool half = tensor.spec.dtype == DType::kF16;
  const Matrix<uint16_t> raw = copy_tensor<uint16_t>(tensor, rows, cols);
  Matrix<float> scales(rows, cols);
  for (int64_t i = 0; i < raw.size(); ++i)
    scales.data()[i] = half ? f16_to_float(raw.data()[i]) : bf16_to_float(raw.data()[i]);
  return scales;
}

void require_finite(const Place& place, const Matrix<float>& scales) {
  for (int64_t i = 0; i < scales.size(); ++i) {
    if (std::isfinite(scales.data()[i])) continue;
    refuse(place, fmt::format("the scale of group {}, output {} is {}; damaged file, or the model overflowed when it "
                              "was quantized",
                              i / scales.cols(), i % scales.cols(), scales.data()[i]));
  }
}

std::string asymmetry(const QuantizedLinear& linear) {
  const int middle = linear.spec.symmetric_zero();
  const uint8_t* begin = linear.zeros.data();
  const uint8_t* end = begin + linear.zeros.size();
  const uint8_t* odd = std::find_if(begin, end, [&](uint8_t zero) { return zero != middle; });
  if (odd == end) return "";
  return fmt::format("the zero point of group {}, output {} is {} instead of {}", (odd - begin) / linear.out(),
                     (odd - begin) % linear.out(), *odd, middle);
}

}  // namespace hesse
