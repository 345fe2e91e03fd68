// The calibration tokens on their way through the model.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/compute_matrix.h"
#include "base/matrix.h"
#include "data/windows.h"
#include "model/block.h"
#include "run/activation_store.h"

namespace hesse {

// One pass of the calibration tokens through the model.
struct Stream {
  Matrix<float> h;  // [tokens, hidden] the residual stream in front of the next layer
  ComputeMatrix x;  // [tokens, in] the input of the next stage, while a layer is under way
  ComputeMatrix spare =
      {};  // memory of the x before, for the next one: new pages cost more than what is written into them
};

// The stream behind the quantized layers, and that of the original model where targets follow it.
struct Streams {
  ActivationStore store;  // of all of them
  Stream quantized;
  std::optional<Stream> original;
};

// Calls body(batch, first row) for consecutive groups of whole sequences.
template <class Body>
void for_each_batch(const Windows& windows, Body body) {
  const int64_t together = std::max<int64_t>(1, kBatchRows / windows.length());
  for (int64_t first = 0; first < windows.count(); first += together) {
    const Batch batch{.sequences = std::min(together, windows.count() - first), .length = windows.length()};
    body(batch, first * windows.length());
  }
}

}  // namespace hesse
