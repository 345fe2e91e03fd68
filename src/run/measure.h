// What each part of a model would lose at each choice of bits and group size, measured before a run decides.
#pragma once

#include <string>
#include <vector>

#include "hesse/events.h"
#include "io/json.h"
#include "plan/allocation.h"
#include "run/job.h"

namespace hesse {

struct Measurement {
  std::string fingerprint;  // of the model, the calibration text and the candidates
  std::vector<MeasuredUnit> units;
};

// The candidates: 2, 3, 4 and 8 bits in groups of 32, 64, 128 and of the size of the job.
std::vector<LinearSpec> measured_specs(const Job& job);
std::string measurement_fingerprint(const Job& job);

// One pass of a part of the calibration text through the original model. Every unit is solved on some of its rows at
// every candidate, all with one factor: tr(E H E^T) is what its outputs lose. What the model's output loses by that
// comes from a second text: each unit at kProbe alone, to the end of its block, shares out the KL divergence of the
// block with all units at kProbe, to the end of the model (docs/RECIPES.md). Error(kUsage) for a layer
// that does not fit the memory of the job.
Measurement measure(const Job& job, Listener& listener);

Json measurement_json(const Measurement& measurement);
// Error(kBadInput) for what is none.
Measurement measurement_from_json(const Json& json, const std::string& where);

}  // namespace hesse
