// Likelihood of the ends of sequences of any lengths.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "eval/pass.h"
#include "model/model.h"

namespace hesse {

// What is predicted: ids[begin] ... the last; begin >= 1.
struct ScoredEnd {
  std::span<const int32_t> ids;
  int64_t begin = 1;
};

// -log p(end | what stands before it) in nats, of each. Sequences of like lengths go through the layers together, the
// shorter ones with something behind them that they cannot see; weights are read once for each group of sequences whose
// activations fit kActivationBytes.
std::vector<double> end_losses(const Model& model, std::span<const ScoredEnd> ends, const EvalProgress& progress);

}  // namespace hesse
