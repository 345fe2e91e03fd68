// A small part of a run, to see what all of it would cost and lose: options.trial.
#pragma once

#include "api/quantize_with.h"
#include "hesse/events.h"
#include "hesse/options.h"

namespace hesse {

// Quantizes the first, a middle and the last of the layers on a few of the windows. What it writes lies in a work
// directory of its own and is removed. The record is that of the part, with a forecast of the whole.
RunRecord quantize_trial(const QuantizeOptions& options, Listener& listener);

}  // namespace hesse
