// What tokenizers of the BERT kind do to text before they cut it.
#pragma once

#include "tokenizer/text.h"

namespace hesse {

// Control characters go, white space becomes " ".
Text bert_clean(const Text& text);
// Ideographs get a space on each side.
Text bert_space_ideographs(const Text& text);
Text without_nonspacing_marks(const Text& text);

// sentencepiece's rules for translation: control characters go, and many kinds of space become " ".
Text nmt_clean(const Text& text);

}  // namespace hesse
