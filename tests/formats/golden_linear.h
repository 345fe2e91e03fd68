// The linear of docs/FORMATS.md, "Golden vectors".
#pragma once

#include "formats/random_linear.h"

namespace hesse {

// in = 64, out = 32, group size 32.
inline QuantizedLinear golden_linear(int bits) {
  Rng rng(1);
  const LinearSpec spec{.bits = bits, .group_size = 32, .symmetric = false};
  QuantizedLinear linear = random_linear(32, 64, spec, rng);
  for (int i = 0; i < 64; ++i) {
    for (int o = 0; o < 32; ++o) linear.codes(o, i) = static_cast<uint8_t>((7 * i + 3 * o + (i * o % 5)) % (1 << bits));
  }
  for (int g = 0; g < 2; ++g) {
    for (int o = 0; o < 32; ++o) linear.zeros(g, o) = static_cast<uint8_t>(1 + (11 * g + 5 * o) % ((1 << bits) - 1));
  }
  return linear;
}

}  // namespace hesse
