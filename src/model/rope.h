// Rotary position embedding: cosines and sines by position (Su et al. 2021), with the scalings that configs know.
#pragma once

#include "base/matrix.h"
#include "model/config.h"

namespace hesse {

struct RopeTable {
  Matrix<float> cos;  // [positions, dim / 2]
  Matrix<float> sin;  // [positions, dim / 2]
};

// In float32 and in the order of operations of transformers, modeling_rope_utils.py: exponent, power, reciprocal,
// scaling, angle. `positions` is the length of the texts to be read: dynamic and longrope turn by it.
RopeTable make_rope_table(const RopeConfig& rope, int64_t positions);

}  // namespace hesse
