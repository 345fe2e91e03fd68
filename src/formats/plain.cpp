#include "formats/plain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "base/threads.h"
#include "formats/packed.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr float kLargestHalf = 65504.0f;

// No weight is larger; without looking at the codes.
float bound_of(const QuantizedLinear& linear) {
  float bound = 0;
  for (int64_t i = 0; i < linear.scales.size(); ++i) {
    const int zero = linear.zeros.data()[i];
    const auto steps = static_cast<float>(std::max(zero, linear.spec.max_code() - zero));
    bound = std::max(bound, std::abs(linear.scales.data()[i]) * steps);
  }
  return bound;
}

}  // namespace

// While a run lasts its linears are kept in the working format, so they must fit there.
std::string PlainFormat::why_not(int64_t out, int64_t in, const LinearSpec& spec) const {
  return working_format(*this).why_not(out, in, spec);
}

std::string PlainFormat::why_not(const QuantizedLinear& linear) const {
  if (std::string problem = spec_problem(linear.out(), linear.in(), linear.spec); !problem.empty()) return problem;
  const float largest = dtype_ == DType::kF16 ? kLargestHalf : std::numeric_limits<float>::max();
  if (bound_of(linear) <= largest) return "";
  const Matrix<float> weight = dequantize(linear);
  for (int64_t i = 0; i < weight.size(); ++i) {
    const float value = weight.data()[i];
    if (std::abs(value) <= largest) continue;
    return fmt::format("the weight of output {}, input {} is {}, the largest {} is {}", i / weight.cols(),
                       i % weight.cols(), value, name(), largest);
  }
  return "";
}

std::vector<TensorSpec> PlainFormat::layout(std::string_view module, const LinearForm& form) const {
  const std::vector<int64_t> shape =
      form.in_out ? std::vector<int64_t>{form.in, form.out} : std::vector<int64_t>{form.out, form.in};
  return {{.name = std::string(module) + ".weight", .dtype = dtype_, .shape = shape}};
}

void PlainFormat::write(std::string_view module, const QuantizedLinear& linear, const TensorSink& sink) const {
  if (const std::string problem = why_not(linear); !problem.empty()) broken({name(), module}, problem);
  const Matrix<float> weight = dequantize(linear);
  Matrix<uint16_t> rounded(weight.rows(), weight.cols());
  parallel_for(weight.rows(), [&](int64_t row) {
    for (int64_t i = 0; i < weight.cols(); ++i) {
      const float value = weight(row, i);
      rounded(row, i) = dtype_ == DType::kF16 ? float_to_f16(value) : float_to_bf16(value);
    }
  });
  sink(std::string(module) + ".weight", bytes_of(rounded, rounded.size()));
}

LinearSize PlainFormat::size(const Checkpoint&, std::string_view module) const {
  refuse({name(), module}, "a plain weight has no packed form");
}

QuantizedLinear PlainFormat::read(const Checkpoint&, std::string_view module, const Json&) const {
  refuse({name(), module}, "a plain weight has no codes to read");
}

}  // namespace hesse
