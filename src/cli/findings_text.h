// Findings and calibration text in words, for `check` and `data`.
#pragma once

#include <string>

#include "hesse/types.h"

namespace hesse {

// What, why and what to do: a line each.
std::string finding_text(const Finding& finding);
std::string calibration_text(const CalibrationFacts& facts);

}  // namespace hesse
