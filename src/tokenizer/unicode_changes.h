// Normal forms as the list of what happens to each character: slower than normalize_unicode(), and it tells which
// character of the result comes from where.
#pragma once

#include <string_view>
#include <vector>

#include "tokenizer/text.h"
#include "tokenizer/unicode.h"

namespace hesse {

// Rewriter::change() with the result makes the bytes of normalize_unicode(text, form). A mark that moves takes its
// change along, as in the reference.
std::vector<Change> normalization_changes(std::string_view text, NormalForm form);

}  // namespace hesse
