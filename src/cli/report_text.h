// Symptoms and losses of a run in words and bars, for `diagnose` and the end of `quantize`.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "hesse/events.h"
#include "hesse/types.h"

namespace hesse {

// The worst first; what is good only when `all`. One line says so when there is nothing to do.
std::string symptoms_text(const std::vector<Symptom>& symptoms, bool all);

// The `most` worst of those that ask for something; empty when none does.
std::string worst_symptoms_text(const std::vector<Symptom>& symptoms, size_t most);

// What stands at the end of a run, in at most 25 lines where `summary` leaves room: it, the worst symptoms, and with
// `bars` the loss by layer.
std::string end_of_run(const std::string& summary, const RunRecord& record, const std::vector<Symptom>& symptoms,
                       bool bars);

// A bar for each layer, or for each bin of layers where there are more of them than lines: mean relative error in dB.
// Empty when no loss was measured.
std::string layer_bars(const RunRecord& record, size_t most_lines = 16);

}  // namespace hesse
