// Text that goes into JSON must be UTF-8; file names and tokens cut in the middle need not be.
#pragma once

#include <string>
#include <string_view>

namespace hesse {

// The same text, each byte that is not part of valid UTF-8 replaced by U+FFFD.
std::string valid_utf8(std::string_view text);

}  // namespace hesse
