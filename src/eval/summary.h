// Predictions as the numbers that a user reads.
#pragma once

#include "eval/perplexity.h"
#include "hesse/evaluation.h"

namespace hesse {

// Everything that follows from the predictions: perplexity, losses, intervals, positions, and `against` where there was
// a reference (but for its name). `windows`: those that were predicted.
EvalResult summarize(const Predictions& predictions, const Windows& windows);

// The reference's own predictions, out of those of a model that was compared with it.
Predictions of_reference(const Predictions& compared);

}  // namespace hesse
