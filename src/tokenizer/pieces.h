// The text between two added tokens while it is cut into the words that the model sees.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/text.h"

namespace hesse {

// Never holds an empty piece. What lies between two spans was removed.
struct Pieces {
  Text text;
  std::vector<Span> spans;          // ascending, not overlapping
  bool first_starts_input = false;  // spans[0] begins where the whole input begins

  explicit Pieces(Text whole);
  Pieces(std::string whole, bool starts_input) : Pieces(Text(std::move(whole), starts_input)) {}
  std::string_view view(const Span& span) const {
    return std::string_view(text.bytes).substr(span.begin, span.end - span.begin);
  }
};

// Finds the matches of one pattern, one text after another; holds the working memory of the search.
class Finder {
 public:
  virtual ~Finder() = default;
  // The leftmost match in `text` that begins at `from` or later; false when there is none.
  virtual bool find(std::string_view text, size_t from, Span& match) = 0;
};

// All matches in `text`, from left to right. An empty match never touches the match before it.
void find_all(Finder& finder, std::string_view text, std::vector<Span>& matches);

// What becomes of the matches, as in tokenizer.json.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Cuts every piece at the matches. `invert` swaps matches and the text between them.
void split_pieces(Pieces& pieces, Finder& finder, SplitBehavior behavior, bool invert);

}  // namespace hesse
