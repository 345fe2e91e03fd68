// The rates behind predicted times, measured at the shapes of a model.
#pragma once

#include <cstdint>

#include "api/rate_meter.h"
#include "plan/rates.h"
#include "plan/shapes.h"
#include "plan/work.h"
#include "quant/options.h"
#include "quant/spec.h"

namespace hesse {

// Products, attention and memory: the same for every way of solving. Warm up first.
MachineRates measure_products(const RateMeter& meter, const ModelShapes& model, const QuantizeSize& size);

// What the solver's options decide, into `rates`.
void measure_solver(const RateMeter& meter, const ModelShapes& model, const LinearSpec& spec,
                    const GptqOptions& options, MachineRates& rates);

}  // namespace hesse
