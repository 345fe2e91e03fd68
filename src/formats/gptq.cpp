#include "formats/gptq.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "hesse/error.h"
#include "quant/pack.h"

namespace hesse {
namespace {

constexpr int kWidths[] = {2, 3, 4, 8};

// The number of codes must be a multiple of this to fill whole words.
int64_t packing_step(int bits) { return (bits == 3) ? 32 : 32 / bits; }

// Widths at which [out, in] can be packed, as words for a human.
std::string fitting_widths(int64_t out, int64_t in) {
  std::string list;
  for (const int bits : kWidths) {
    if (in % packing_step(bits) != 0 || out % packing_step(bits) != 0) continue;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", bits);
  }
  return list.empty() ? "no width fits, leave it unquantized" : "bits that fit: " + list;
}

std::string step_problem(std::string_view what, int64_t size, const LinearSpec& spec) {
  const int64_t step = packing_step(spec.bits);
  if (size % step == 0) return "";
  if (spec.bits == 3) return fmt::format("{} = {} is not a multiple of {}, as 3 bits need", what, size, step);
  return fmt::format("{} = {} is not a multiple of {} (32 / {} bits)", what, size, step, spec.bits);
}

[[noreturn]] void broken(std::string_view module, const std::string& what) {
  throw Error(ErrorKind::kInternal, fmt::format("[gptq] {}: {}", module, what));
}

void check_shapes(std::string_view module, const QuantizedLinear& linear) {
  const int64_t groups = linear.spec.groups(linear.in());
  const auto check = [&](std::string_view what, int64_t rows, int64_t cols) {
    if (rows == groups && cols == linear.out()) return;
    broken(module, fmt::format("{} are [{}, {}], must be [{}, {}]", what, rows, cols, groups, linear.out()));
  };
  check("scales", linear.scales.rows(), linear.scales.cols());
  check("zero points", linear.zeros.rows(), linear.zeros.cols());
  if (static_cast<int64_t>(linear.group_of.size()) != linear.in()) {
    broken(module, fmt::format("group_of has {} entries for {} inputs", linear.group_of.size(), linear.in()));
  }
  if (const std::string problem = group_map_problem(linear.group_of, groups); !problem.empty()) {
    broken(module, problem);
  }
}

void check_codes(std::string_view module, const QuantizedLinear& linear) {
  for (int64_t o = 0; o < linear.out(); ++o) {
    const uint8_t* row = linear.codes.row(o);
    const int largest = *std::max_element(row, row + linear.in());
    if (largest > linear.spec.max_code()) {
      broken(module, fmt::format("code {} in row {}, the largest is {}", largest, o, linear.spec.max_code()));
    }
  }
}

// The fields of qzeros. A zero point of 0 would be a borrow or a wrap in version 1, and programs disagree on both.
Matrix<uint8_t> stored_zeros(std::string_view module, const QuantizedLinear& linear, int offset) {
  Matrix<uint8_t> stored(linear.zeros.rows(), linear.zeros.cols());
  const int low = linear.spec.symmetric ? linear.spec.symmetric_zero() : 1;
  const int high = linear.spec.symmetric ? linear.spec.symmetric_zero() : linear.spec.max_code();
  for (int64_t i = 0; i < stored.size(); ++i) {
    const int zero = linear.zeros.data()[i];
    if (zero < low || zero > high) {
      broken(module, fmt::format("zero point {} of group {}, output {} is not in {}...{}", zero, i / stored.cols(),
                                 i % stored.cols(), low, high));
    }
    stored.data()[i] = static_cast<uint8_t>(zero - offset);
  }
  return stored;
}

Matrix<uint16_t> half_scales(std::string_view module, const QuantizedLinear& linear) {
  Matrix<uint16_t> halves(linear.scales.rows(), linear.scales.cols());
  for (int64_t i = 0; i < halves.size(); ++i) {
    const float scale = linear.scales.data()[i];
    halves.data()[i] = float_to_f16(scale);
    if (!std::isfinite(scale) || scale == 0.0f || f16_to_float(halves.data()[i]) != scale) {
      broken(module, fmt::format("scale {} of group {}, output {} is no finite half other than 0", scale,
                                 i / halves.cols(), i % halves.cols()));
    }
  }
  return halves;
}

template <class T>
std::span<const std::byte> bytes_of(const T& container, int64_t size) {
  return std::as_bytes(std::span(container.data(), static_cast<size_t>(size)));
}

}  // namespace

std::string group_map_problem(const std::vector<int32_t>& group_of, int64_t groups) {
  std::vector<bool> used(static_cast<size_t>(groups));
  for (size_t i = 0; i < group_of.size(); ++i) {
    if (group_of[i] < 0 || group_of[i] >= groups) {
      return fmt::format("g_idx of input {} is {}, must be in 0...{}", i, group_of[i], groups - 1);
    }
    used[static_cast<size_t>(group_of[i])] = true;
  }
  const auto unused = std::find(used.begin(), used.end(), false);
  if (unused == used.end()) return "";
  return fmt::format("g_idx gives group {} of {} no input", unused - used.begin(), groups);
}

std::string GptqFormat::why_not(int64_t out, int64_t in, const LinearSpec& spec) const {
  if (std::find(std::begin(kWidths), std::end(kWidths), spec.bits) == std::end(kWidths)) {
    return fmt::format("bits = {}, known are 2, 3, 4 and 8", spec.bits);
  }
  if (out <= 0 || in <= 0) return fmt::format("the shape [{}, {}] is empty", out, in);
  for (const auto& [what, size] : {std::pair("in", in), std::pair("out", out)}) {
    const std::string problem = step_problem(what, size, spec);
    if (!problem.empty()) return problem + "; " + fitting_widths(out, in);
  }
  if (spec.group_size < -1 || spec.group_size == 0) {
    return fmt::format("group_size = {}, must be -1 (whole row) or positive", spec.group_size);
  }
  if (spec.group_size > in) {
    return fmt::format("group_size = {} is larger than in = {}; use -1 (whole row) or at most {}", spec.group_size, in,
                       in);
  }
  if (!spec.symmetric && !version_.stores_asymmetric) {
    return fmt::format("format {} is for symmetric grids only, GPTQModel refuses asymmetric ones in it; use {}",
                       version_.name, kGptqV2.name);
  }
  return "";
}

std::vector<TensorSpec> GptqFormat::tensors(std::string_view module, int64_t out, int64_t in,
                                            const LinearSpec& spec) const {
  const std::string prefix = std::string(module) + ".";
  const int64_t groups = spec.groups(in);
  return {{.name = prefix + "qweight", .dtype = DType::kI32, .shape = {packed_words(in, spec.bits), out}},
          {.name = prefix + "qzeros", .dtype = DType::kI32, .shape = {groups, packed_words(out, spec.bits)}},
          {.name = prefix + "scales", .dtype = DType::kF16, .shape = {groups, out}},
          {.name = prefix + "g_idx", .dtype = DType::kI32, .shape = {in}}};
}

void GptqFormat::write(std::string_view module, const QuantizedLinear& linear, const TensorSink& sink) const {
  const LinearSpec& spec = linear.spec;
  if (const std::string problem = why_not(linear.out(), linear.in(), spec); !problem.empty()) broken(module, problem);
  check_shapes(module, linear);
  check_codes(module, linear);
  const Matrix<uint8_t> zeros = stored_zeros(module, linear, version_.zero_offset);
  const Matrix<uint16_t> scales = half_scales(module, linear);

  Matrix<uint32_t> qweight(packed_words(linear.in(), spec.bits), linear.out());
  pack_cols_transposed(linear.codes.view(), spec.bits, qweight.view());
  Matrix<uint32_t> qzeros(zeros.rows(), packed_words(zeros.cols(), spec.bits));
  pack_cols(zeros.view(), spec.bits, qzeros.view());

  const std::string prefix = std::string(module) + ".";
  sink(prefix + "qweight", bytes_of(qweight, qweight.size()));
  sink(prefix + "qzeros", bytes_of(qzeros, qzeros.size()));
  sink(prefix + "scales", bytes_of(scales, scales.size()));
  sink(prefix + "g_idx", bytes_of(linear.group_of, linear.in()));
}

bool GptqFormat::has(const Checkpoint& checkpoint, std::string_view module) const {
  return checkpoint.find(std::string(module) + ".qweight") != nullptr;
}

}  // namespace hesse
