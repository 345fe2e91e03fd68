// The model on a little text, to see whether it knows such text at all.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/model.h"

namespace hesse {

// Called between steps with the share that is done; false ends the trial.
using TrialProgress = std::function<bool(double share)>;

// For each of `sequences`, which are equally long, the mean of -log p(token | those before it) over all tokens but the
// first, in nats. `source` is the model's. Layers are read one by one and the head in slices, so that never more than
// one layer is in memory. Empty when `progress` ended it.
std::vector<double> trial_losses(const Model& model, const WeightSource& source,
                                 const std::vector<std::vector<int32_t>>& sequences, const TrialProgress& progress);

}  // namespace hesse
