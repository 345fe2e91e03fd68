// Quantized linears for tests: any codes, halves of both signs for scales.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "base/rng.h"
#include "quant/spec.h"

namespace hesse {

inline QuantizedLinear random_linear(int64_t out, int64_t in, const LinearSpec& spec, Rng& rng) {
  QuantizedLinear linear;
  linear.spec = spec;
  linear.codes = Matrix<uint8_t>(out, in);
  const uint64_t levels = static_cast<uint64_t>(spec.max_code()) + 1;
  for (int64_t i = 0; i < linear.codes.size(); ++i) linear.codes.data()[i] = static_cast<uint8_t>(rng.below(levels));
  linear.scales = Matrix<float>(spec.groups(in), out);
  linear.zeros = Matrix<uint8_t>(spec.groups(in), out);
  for (int64_t i = 0; i < linear.scales.size(); ++i) {
    // 1 ... 0x7BFF: the smallest subnormal to the largest half.
    const auto magnitude = static_cast<uint16_t>(1 + rng.below(0x7BFF));
    linear.scales.data()[i] = f16_to_float(magnitude) * (rng.below(2) == 0 ? 1.0f : -1.0f);
    linear.zeros.data()[i] =
        static_cast<uint8_t>(spec.symmetric ? static_cast<uint64_t>(spec.symmetric_zero()) : 1 + rng.below(levels - 1));
  }
  linear.group_of = contiguous_groups(in, spec.group_width(in));
  return linear;
}

// Every member, bit for bit.
inline void expect_same(const QuantizedLinear& a, const QuantizedLinear& b) {
  EXPECT_EQ(a.spec.bits, b.spec.bits);
  EXPECT_EQ(a.spec.group_size, b.spec.group_size);
  EXPECT_EQ(a.spec.symmetric, b.spec.symmetric);
  EXPECT_EQ(a.group_of, b.group_of);
  const auto same = [](const auto& x, const auto& y) {
    if (x.rows() != y.rows() || x.cols() != y.cols()) return false;
    return std::memcmp(x.data(), y.data(), static_cast<size_t>(x.size()) * sizeof(*x.data())) == 0;
  };
  EXPECT_TRUE(same(a.codes, b.codes)) << "codes differ";
  EXPECT_TRUE(same(a.scales, b.scales)) << "scales differ";
  EXPECT_TRUE(same(a.zeros, b.zeros)) << "zero points differ";
}

}  // namespace hesse
