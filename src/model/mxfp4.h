// Matrices in blocks of 32 4-bit floats with a scale each, a power of two, as the files of gpt-oss have them (OCP
// Microscaling Formats 1.0, MXFP4): of a tensor NAME the codes NAME_blocks, U8 [..., rows, in / 32, 16], two in a byte,
// the first in its lower half, and NAME_scales, U8 [..., rows, in / 32], exponents of 2 above -127; 255 is not a
// number.
#pragma once

#include <cstdint>
#include <string>

#include "io/checkpoint.h"
#include "io/json.h"

namespace hesse {

constexpr int64_t kMxfp4Block = 32;  // inputs that share a scale

// Whether "quantization_config" of a config.json says that experts lie as above; nullptr: it says nothing.
bool is_mxfp4_config(const Json* quantization_config);

class Mxfp4Rows {
 public:
  // Of `name` with `rows` rows of `in` values in all; there is a NAME_blocks. Error(kBadInput) when the scales are
  // missing or either has another shape than [leading, rows / leading, ...].
  Mxfp4Rows(const Checkpoint& checkpoint, const std::string& name, int64_t leading, int64_t rows, int64_t in);
  static bool has(const Checkpoint& checkpoint, const std::string& name);

  void row(int64_t r, float* values) const;  // [in]
  const TensorView& blocks() const { return *blocks_; }
  const TensorView& scales() const { return *scales_; }

 private:
  const TensorView* blocks_ = nullptr;
  const TensorView* scales_ = nullptr;
  int64_t in_ = 0;
};

}  // namespace hesse
