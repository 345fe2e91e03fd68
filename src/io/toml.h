// TOML (toml.io) as the same values as JSON. Behind it, in toml.cpp alone: toml++.
#pragma once

#include <string>
#include <string_view>

#include "io/json.h"

namespace hesse {

// A document is an object. Throws Error(kBadInput) "[toml] `where`, line N: ..." for malformed text, and for dates and
// times, which no file of ours has.
Json parse_toml(std::string_view text, const std::string& where);

}  // namespace hesse
