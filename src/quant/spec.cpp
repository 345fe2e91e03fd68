#include "quant/spec.h"

#include <fmt/format.h>

#include "base/threads.h"

namespace hesse {

std::string to_text(const LinearSpec& spec) {
  return fmt::format("{} bits, group size {}, {}", spec.bits, spec.group_size,
                     spec.symmetric ? "symmetric" : "asymmetric");
}

std::vector<int32_t> contiguous_groups(int64_t in, int64_t width) {
  std::vector<int32_t> group_of(static_cast<size_t>(in));
  for (int64_t i = 0; i < in; ++i) group_of[static_cast<size_t>(i)] = static_cast<int32_t>(i / width);
  return group_of;
}

Matrix<float> dequantize(const QuantizedLinear& linear) {
  Matrix<float> weight(linear.out(), linear.in());
  parallel_for(linear.out(), [&](int64_t o) {
    const uint8_t* codes = linear.codes.row(o);
    float* row = weight.row(o);
    for (int64_t i = 0; i < linear.in(); ++i) {
      const int64_t g = linear.group_of[static_cast<size_t>(i)];
      row[i] = linear.scales(g, o) * static_cast<float>(codes[i] - linear.zeros(g, o));
    }
  });
  return weight;
}

}  // namespace hesse
