// Options that cannot be meant stop a call before it touches anything.
#pragma once

#include <string>

#include "hesse/error.h"

namespace hesse {

// Error(kUsage) with everything that options.problems() has to say.
template <class Options>
void require_no_problems(const Options& options) {
  std::string text;
  for (const std::string& problem : options.problems()) text += (text.empty() ? "" : "; ") + problem;
  if (!text.empty()) throw Error(ErrorKind::kUsage, "[options] " + text);
}

}  // namespace hesse
