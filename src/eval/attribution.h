// Which blocks of a quantized model make it differ from its original.
#pragma once

#include <cstdint>
#include <vector>

#include "data/windows.h"
#include "eval/pass.h"
#include "model/model.h"

namespace hesse {

struct Attribution {
  double kl = 0;                // mean KL(reference || model) a predicted token, nats
  std::vector<double> swapped;  // [layers] the same with this one block from the reference
};

// Every variant of the model is a stream of activations, and all streams go through the layers together: each block of
// both models is read once for a group of windows, and a variant begins to cost only behind the block that it swaps.
// About layers / 2 passes of the model in all. Both must be of the same shape: Error(kBadInput) otherwise.
Attribution attribute(const Model& model, const Model& reference, const Windows& windows, const EvalProgress& progress);

}  // namespace hesse
