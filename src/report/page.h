// The page about one run, or about several side by side: one HTML file without network, readable without script.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "hesse/evaluation.h"
#include "hesse/events.h"
#include "hesse/types.h"

namespace hesse {

struct PageRun {
  std::string name;  // of the result
  RunRecord record;
  std::optional<EvalResult> evaluation;
  std::string record_json;  // to download; empty: none
};

// Of one run its whole story; of several a comparison with the first. Depends on nothing but its arguments.
std::string page_of(const std::vector<PageRun>& runs);

}  // namespace hesse
