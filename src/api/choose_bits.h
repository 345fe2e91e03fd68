// Bits where they matter: --bits-target and --protect.
#pragma once

#include "hesse/events.h"
#include "plan/shapes.h"
#include "run/job.h"

namespace hesse {

// Fills job.choices and job.predicted_damage where the options ask for it; else does nothing. What is needed for it is
// measured, and written to the file of --measurement (beside the output when none is named), or taken from there.
// Error(kUsage) for a target that cannot be reached, and for a file that belongs to another model or text.
void choose_bits(Job& job, const ModelShapes& shapes, Listener& listener);

}  // namespace hesse
