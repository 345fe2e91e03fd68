// Perplexity of a model on windows of tokens.
#pragma once

#include <functional>

#include "data/windows.h"
#include "model/model.h"

namespace hesse {

struct Likelihood {
  double nll = 0;           // sum over the predictions of -log p(token | those before it in its window), nats
  int64_t predictions = 0;  // every token of a window but the first
};

// `progress(share)` is called between layers, 0 ... 1, and may throw to stop. Weights are read layer by layer, once for
// each group of windows whose activations fit kActivationBytes.
constexpr int64_t kActivationBytes = int64_t{1} << 30;
Likelihood likelihood(const Model& model, const Windows& windows, const std::function<void(double)>& progress);

}  // namespace hesse
