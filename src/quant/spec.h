// What is decided for one linear, and what comes out of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/matrix.h"

namespace hesse {

struct LinearSpec {
  int bits = 4;              // 2, 3, 4 or 8
  int64_t group_size = 128;  // inputs that share a scale; -1: all of a row
  bool symmetric = true;     // zero point fixed at 2^(bits-1)

  int64_t group_width(int64_t in) const { return group_size == -1 ? in : group_size; }
  int64_t groups(int64_t in) const { return (in + group_width(in) - 1) / group_width(in); }  // the last may be shorter
  int max_code() const { return (1 << bits) - 1; }
  int symmetric_zero() const { return 1 << (bits - 1); }
  bool operator==(const LinearSpec&) const = default;
};
std::string to_text(const LinearSpec& spec);  // "4 bits, group size 128, symmetric"

// Integer codes and their grid. weight(o, i) = scales(g, o) * (codes(o, i) - zeros(g, o)) with g = group_of[i].
struct QuantizedLinear {
  LinearSpec spec;
  Matrix<uint8_t> codes;          // [out, in]     0 ... 2^bits - 1
  Matrix<float> scales;           // [groups, out] each exactly a half; finite, never 0; negative ones are legal
  Matrix<uint8_t> zeros;          // [groups, out] 1 ... 2^bits - 1
  std::vector<int32_t> group_of;  // [in]

  int64_t out() const { return codes.rows(); }
  int64_t in() const { return codes.cols(); }
};

// group_of for groups that lie side by side: i / width.
std::vector<int32_t> contiguous_groups(int64_t in, int64_t width);

// The float weights that a QuantizedLinear stands for.
Matrix<float> dequantize(const QuantizedLinear& linear);  // [out, in]

}  // namespace hesse
