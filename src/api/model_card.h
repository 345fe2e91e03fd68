// README.md and what else a page on a hub needs, in a directory that is being made.
#pragma once

#include <filesystem>
#include <string>

#include "hesse/events.h"
#include "io/json.h"

namespace hesse {

struct CardRequest {
  std::filesystem::path model;      // of which the result is one
  std::filesystem::path directory;  // that is being made; the model's README.md has been copied into it
  const Json& config_json;          // of the model
  std::string format;
  bool hub = false;  // with header and .gitattributes
};

// With the sections of a run when `record` is there.
void write_model_card(const CardRequest& request, const RunRecord* record);

}  // namespace hesse
