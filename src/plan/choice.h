// What is decided for one linear before it is quantized.
#pragma once

#include "quant/options.h"
#include "quant/spec.h"

namespace hesse {

struct LinearChoice {
  LinearSpec spec = {};
  double damping = kStandardDamping;  // lambda / mean diag(H), or kDampingByData
  bool skip = false;                  // stays as it is
  bool operator==(const LinearChoice&) const = default;
};

}  // namespace hesse
