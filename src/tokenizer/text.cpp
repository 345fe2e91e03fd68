#include "tokenizer/text.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace hesse {

Text::Text(std::string all, bool starts_input) : bytes(std::move(all)) {
  if (starts_input && !bytes.empty()) (void)next_char(bytes, leading);
}

Text Text::traced_from(std::string all, size_t offset) {
  Text text(std::move(all), offset == 0);
  text.traced = true;
  text.origins.reserve(text.bytes.size());
  for (size_t end = 0; end < text.bytes.size();) {
    const size_t begin = end;
    (void)next_char(text.bytes, end);
    text.origins.insert(text.origins.end(), end - begin, Span{offset + begin, offset + end});
  }
  return text;
}

Text Text::part(Span span) const {
  Text result;
  result.bytes = bytes.substr(span.begin, span.end - span.begin);
  result.traced = traced;
  result.leading = std::min(leading, span.end) - std::min(leading, span.begin);
  if (traced) {
    const auto first = origins.begin();
    result.origins.assign(first + static_cast<ptrdiff_t>(span.begin), first + static_cast<ptrdiff_t>(span.end));
  }
  return result;
}

Span Text::origin_of(Span span) const {
  if (!traced || span.begin >= span.end) return {};
  return {origins[span.begin].begin, origins[span.end - 1].end};
}

void Rewriter::keep(size_t begin, size_t end) {
  if (begin < old_.leading && made_.leading == made_.bytes.size()) made_.leading += std::min(end, old_.leading) - begin;
  made_.bytes.append(old_.bytes, begin, end - begin);
  if (!made_.traced) return;
  const auto first = old_.origins.begin();
  made_.origins.insert(made_.origins.end(), first + static_cast<ptrdiff_t>(begin), first + static_cast<ptrdiff_t>(end));
}

void Rewriter::put(std::string_view text, size_t at) {
  const size_t before = made_.bytes.size();
  made_.bytes += text;
  note(before, at);
}

void Rewriter::insert(std::string_view text, size_t at) {
  if (at > 0) return put(text, at - 1);
  const bool from_start = old_.leading > 0 && made_.leading == made_.bytes.size();
  made_.bytes += text;
  if (from_start) made_.leading = made_.bytes.size();
  if (!made_.traced) return;
  const size_t place = old_.origins.empty() ? 0 : old_.origins[0].begin;
  made_.origins.insert(made_.origins.end(), text.size(), {place, place});
}

void Rewriter::change(const std::vector<Change>& changes) {
  const std::string_view text = old_.bytes;
  size_t at = 0;
  std::string one;
  for (const Change& next : changes) {
    one.clear();
    append_utf8(one, next.character);
    if (next.change > 0 || at >= text.size()) {
      insert(one, at);
      continue;
    }
    put(one, at);
    (void)next_char(text, at);
    for (int removed = next.change; removed < 0 && at < text.size(); ++removed) (void)next_char(text, at);
  }
}

}  // namespace hesse
