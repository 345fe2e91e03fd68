// The model card: README.md of the model with a section on how it was quantized and one on how to load it.
#pragma once

#include <string>
#include <string_view>

#include "hesse/events.h"

namespace hesse {

struct CardFacts {
  std::string base_model;  // "org/name" where that is known, else the name of the directory
  std::string format;      // of the table of export formats
  bool hub = false;        // with the header that pages on a hub are made from
};

// `readme`, the model's own card or the one of an earlier result (may be empty), with the sections of this result in
// the place of earlier ones or at its end. Depends on nothing but its arguments; no times, no paths.
std::string card_of_run(std::string readme, const CardFacts& facts, const RunRecord& record);
std::string card_of_conversion(std::string readme, const CardFacts& facts);

// Large files of a page go by another way than text: the rules for that.
std::string_view git_attributes();

}  // namespace hesse
