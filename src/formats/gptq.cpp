#include "formats/gptq.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/packed.h"
#include "quant/pack.h"

namespace hesse {
namespace {

// A zero point of 0 would be a borrow or a wrap in version 1, and programs disagree on both.
constexpr int kLowestZero = 1;

Matrix<uint8_t> stored_zeros(const QuantizedLinear& linear, int offset) {
  Matrix<uint8_t> stored(linear.zeros.rows(), linear.zeros.cols());
  for (int64_t i = 0; i < stored.size(); ++i) stored.data()[i] = static_cast<uint8_t>(linear.zeros.data()[i] - offset);
  return stored;
}

}  // namespace

std::string GptqFormat::why_not(int64_t out, int64_t in, const LinearSpec& spec) const {
  // Whether it can be packed is the better reason where both the shape and the group size are bad.
  if (std::string problem = spec_problem(out, in, {.bits = spec.bits, .group_size = -1}); !problem.empty())
    return problem;
  if (std::string problem = packing_problem(out, in, spec); !problem.empty()) return problem;
  if (std::string problem = spec_problem(out, in, spec); !problem.empty()) return problem;
  if (!spec.symmetric && !version_.stores_asymmetric) {
    return fmt::format("format {} is for symmetric grids only, GPTQModel refuses asymmetric ones in it; use {}",
                       version_.name, kGptqV2.name);
  }
  return "";
}

std::string GptqFormat::why_not(const QuantizedLinear& linear) const {
  const std::string problem = why_not(linear.out(), linear.in(), linear.spec);
  return problem.empty() ? value_problem(linear, kLowestZero) : problem;
}

std::vector<TensorSpec> GptqFormat::layout(std::string_view module, const LinearForm& form) const {
  const std::string prefix = std::string(module) + ".";
  const int bits = form.spec.bits;
  const int64_t groups = form.spec.groups(form.in);
  return {{.name = prefix + "qweight", .dtype = DType::kI32, .shape = {packed_words(form.in, bits), form.out}},
          {.name = prefix + "qzeros", .dtype = DType::kI32, .shape = {groups, packed_words(form.out, bits)}},
          {.name = prefix + "scales", .dtype = DType::kF16, .shape = {groups, form.out}},
          {.name = prefix + "g_idx", .dtype = DType::kI32, .shape = {form.in}}};
}

void GptqFormat::write(std::string_view module, const QuantizedLinear& linear, const TensorSink& sink) const {
  const int bits = linear.spec.bits;
  if (const std::string problem = why_not(linear); !problem.empty()) broken({"gptq", module}, problem);
  const Matrix<uint8_t> zeros = stored_zeros(linear, version_.zero_offset);
  const Matrix<uint16_t> scales = half_scales(linear);

  Matrix<uint32_t> qweight(packed_words(linear.in(), bits), linear.out());
  pack_cols_transposed(linear.codes.view(), bits, qweight.view());
  Matrix<uint32_t> qzeros(zeros.rows(), packed_words(zeros.cols(), bits));
  pack_cols(zeros.view(), bits, qzeros.view());

  const std::string prefix = std::string(module) + ".";
  sink(prefix + "qweight", bytes_of(qweight, qweight.size()));
  sink(prefix + "qzeros", bytes_of(qzeros, qzeros.size()));
  sink(prefix + "scales", bytes_of(scales, scales.size()));
  sink(prefix + "g_idx", bytes_of(linear.group_of, linear.in()));
}

std::span<const std::string_view> GptqFormat::suffixes() const {
  static constexpr std::string_view kSuffixes[] = {"qweight", "qzeros", "scales", "g_idx"};
  return kSuffixes;
}

}  // namespace hesse
