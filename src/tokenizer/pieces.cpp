#include "tokenizer/pieces.h"

#include "tokenizer/unicode.h"

namespace hesse {
namespace {

struct Part {
  Span span;
  bool match = false;
};

// The alternating matches and gaps that cover a text of `size` bytes; empty gaps are left out, empty matches stay.
void cover(const std::vector<Span>& matches, size_t size, bool invert, std::vector<Part>& parts) {
  parts.clear();
  size_t done = 0;
  for (const Span& match : matches) {
    if (match.begin != done) parts.push_back({{done, match.begin}, invert});
    parts.push_back({match, !invert});
    done = match.end;
  }
  if (done != size) parts.push_back({{done, size}, invert});
}

void merge_with_previous(const std::vector<Part>& parts, std::vector<Span>& out) {
  bool previous_match = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && parts[i].match && !previous_match) {
      out.back().end = parts[i].span.end;
    } else {
      out.push_back(parts[i].span);
    }
    previous_match = parts[i].match;
  }
}

void merge_with_next(const std::vector<Part>& parts, std::vector<Span>& out) {
  for (size_t i = 0; i < parts.size(); ++i) {
    out.push_back(parts[i].span);
    // A match followed by a gap takes the gap along.
    if (parts[i].match && i + 1 < parts.size() && !parts[i + 1].match) out.back().end = parts[++i].span.end;
  }
}

void join_equal(const std::vector<Part>& parts, std::vector<Span>& out) {
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && parts[i].match == parts[i - 1].match) {
      out.back().end = parts[i].span.end;
    } else {
      out.push_back(parts[i].span);
    }
  }
}

void apply_behavior(const std::vector<Part>& parts, SplitBehavior behavior, std::vector<Span>& out) {
  switch (behavior) {
    case SplitBehavior::kIsolated:
      for (const Part& part : parts) out.push_back(part.span);
      break;
    case SplitBehavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.match) out.push_back(part.span);
      }
      break;
    case SplitBehavior::kMergedWithPrevious:
      merge_with_previous(parts, out);
      break;
    case SplitBehavior::kMergedWithNext:
      merge_with_next(parts, out);
      break;
    case SplitBehavior::kContiguous:
      join_equal(parts, out);
      break;
  }
}

}  // namespace

Pieces::Pieces(Text whole) : text(std::move(whole)), first_starts_input(text.leading > 0) {
  if (!text.bytes.empty()) spans.push_back({0, text.bytes.size()});
}

void find_all(Finder& finder, std::string_view text, std::vector<Span>& matches) {
  matches.clear();
  size_t from = 0;
  Span match;
  while (from <= text.size() && finder.find(text, from, match)) {
    const bool empty = match.begin == match.end;
    if (empty && !matches.empty() && matches.back().end == match.end) {
      if (from >= text.size()) break;
      next_char(text, from);
      continue;
    }
    matches.push_back(match);
    from = match.end;
  }
}

void split_pieces(Pieces& pieces, Finder& finder, SplitBehavior behavior, bool invert) {
  std::vector<Span> result;
  result.reserve(pieces.spans.size());
  std::vector<Span> matches;
  std::vector<Part> parts;
  std::vector<Span> cut;
  for (const Span& piece : pieces.spans) {
    find_all(finder, pieces.view(piece), matches);
    cover(matches, piece.end - piece.begin, invert, parts);
    cut.clear();
    apply_behavior(parts, behavior, cut);
    for (const Span& span : cut) {
      if (span.begin != span.end) result.push_back({piece.begin + span.begin, piece.begin + span.end});
    }
  }
  pieces.first_starts_input &= !result.empty() && !pieces.spans.empty() && result[0].begin == pieces.spans[0].begin;
  pieces.spans = std::move(result);
}

}  // namespace hesse
