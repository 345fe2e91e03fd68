// Work and times as JSON, the same in every report.
#pragma once

#include <vector>

#include "hesse/types.h"
#include "io/json.h"

namespace hesse {

Json work_json(const Work& work);                        // {"linears": FLOP, ...}
Json phases_json(const std::vector<PhaseTime>& phases);  // [{"name": .., "seconds": ..}, ...]

}  // namespace hesse
