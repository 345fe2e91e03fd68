// What makes two runs the same one, so that the second may go on where the first was interrupted.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/json.h"
#include "run/job.h"

namespace hesse {

using Facts = std::vector<std::pair<std::string, std::string>>;  // name and value

struct Identity {
  Facts decides;     // of two runs that differ here, none can go on with the other
  Facts arithmetic;  // what may change the last digits: threads, instruction sets, libraries
};

// The one of `decides` that is no longer true when the run has published its result: what it began with lay there.
inline constexpr std::string_view kEarlierResult = "the result that is changed";
Facts without_earlier_result(Facts facts);

// `arithmetic`: what only the caller knows of it.
Identity identity_of(const Job& job, const std::string& version, Facts arithmetic);

// Of the weights, by pieces of the files, and config.json; of the calibration windows.
std::string model_fingerprint(const Job& job);
std::string calibration_fingerprint(const Job& job);

Json facts_json(const Facts& facts);
Facts facts_from_json(const Json& json);  // Error(kBadInput) for what facts_json() does not write

// "--bits was 4, now 3; the model is another one"; empty when nothing differs.
std::string differences(const Facts& before, const Facts& now);

}  // namespace hesse
