// The head of a model, quantized like a linear behind the last layer.
#pragma once

#include "run/layer.h"

namespace hesse {

// From the streams behind the last layer, of which nothing is left. job.head is there.
void quantize_head(const Job& job, Streams& streams, PhaseClock& clock, const LayerEvents& events);

// The same without calibration text: weights only.
void round_head(const Job& job, PhaseClock& clock, const LayerEvents& events);

}  // namespace hesse
