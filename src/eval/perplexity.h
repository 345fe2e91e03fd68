// How well a model predicts windows of tokens, and how far it has moved from a reference.
#pragma once

#include <cstdint>
#include <functional>

#include "data/windows.h"
#include "model/model.h"

namespace hesse {

struct Likelihood {
  double nll = 0;           // sum over the predictions of -log p(token | those before it in its window), nats
  int64_t predictions = 0;  // every token of a window but the first
};

// The same predictions by a model and by its reference.
struct Comparison {
  Likelihood model;
  Likelihood reference;
  double kl = 0;         // sum over the predictions of KL(reference || model), nats
  int64_t same_top = 0;  // predictions whose most likely token is the same
};

// Called between layers with the share that is done, 0 ... 1; may throw to stop.
using EvalProgress = std::function<void(double share)>;

// Weights are read layer by layer, once for each group of windows whose activations fit kActivationBytes.
constexpr int64_t kActivationBytes = int64_t{1} << 30;
Likelihood likelihood(const Model& model, const Windows& windows, const EvalProgress& progress);

// Both models must have the same vocabulary: Error(kBadInput) otherwise.
Comparison compare_models(const Model& model, const Model& reference, const Windows& windows,
                          const EvalProgress& progress);

}  // namespace hesse
