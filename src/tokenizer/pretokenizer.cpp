#include "tokenizer/pretokenizer.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/component.h"
#include "tokenizer/pattern.h"
#include "tokenizer/scripts.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

using PreTokenizerPtr = std::unique_ptr<PreTokenizer>;

constexpr std::string_view kGpt2Regex = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Rewrites every piece: `append(Rewriter, span of the piece, whether it begins where the input begins)`.
template <class Append>
void rewrite(Pieces& pieces, Append append) {
  Rewriter out(pieces.text);
  for (size_t i = 0; i < pieces.spans.size(); ++i) {
    Span& span = pieces.spans[i];
    const size_t begin = out.size();
    append(out, span, i == 0 && pieces.first_starts_input);
    span = {begin, out.size()};
  }
  pieces.text = out.take();
}

std::string_view view(const Rewriter& out, const Span& span) {
  return std::string_view(out.old().bytes).substr(span.begin, span.end - span.begin);
}

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<PreTokenizerPtr> parts) : parts_(std::move(parts)) {}
  void apply(Pieces& pieces) const override {
    for (const auto& part : parts_) part->apply(pieces);
  }

 private:
  std::vector<PreTokenizerPtr> parts_;
};

class Split : public PreTokenizer {
 public:
  Split(std::unique_ptr<Pattern> pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void apply(Pieces& pieces) const override { split_pieces(pieces, *pattern_->finder(), behavior_, invert_); }

 private:
  std::unique_ptr<Pattern> pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, std::unique_ptr<Pattern> words)
      : add_prefix_space_(add_prefix_space), words_(std::move(words)) {}
  void apply(Pieces& pieces) const override {
    if (add_prefix_space_) {
      rewrite(pieces, [](Rewriter& out, const Span& piece, bool) {
        if (!view(out, piece).starts_with(' ')) out.put(" ", piece.begin);
        out.keep(piece.begin, piece.end);
      });
    }
    if (words_ != nullptr) split_pieces(pieces, *words_->finder(), SplitBehavior::kIsolated, false);
    rewrite(pieces, [](Rewriter& out, const Span& piece, bool) { put_byte_chars(out, piece); });
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<Pattern> words_;
};

enum class PrependScheme { kAlways, kFirst, kNever };

class Metaspace : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), mark_(split ? literal_pattern(replacement_) : nullptr) {}
  void apply(Pieces& pieces) const override {
    rewrite(pieces, [this](Rewriter& out, const Span& span, bool starts_input) {
      const std::string_view piece = view(out, span);
      const bool wanted = scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && starts_input);
      if (wanted && !piece.starts_with(' ') && !piece.starts_with(replacement_)) out.put(replacement_, span.begin);
      for (size_t at = 0; at < piece.size();) {
        const size_t space = std::min(piece.find(' ', at), piece.size());
        out.keep(span.begin + at, span.begin + space);
        if (space < piece.size()) out.put(replacement_, span.begin + space);
        at = space + 1;
      }
    });
    if (mark_ != nullptr) split_pieces(pieces, *mark_->finder(), SplitBehavior::kMergedWithNext, false);
  }

 private:
  std::string replacement_;
  PrependScheme scheme_;
  std::unique_ptr<Pattern> mark_;
};

// Cuts every piece at the places that `cut(text of the piece, spans in it)` names.
template <class Cut>
void cut_pieces(Pieces& pieces, Cut cut) {
  std::vector<Span> result;
  std::vector<Span> parts;
  for (const Span& piece : pieces.spans) {
    parts.clear();
    cut(pieces.view(piece), parts);
    for (const Span& part : parts) result.push_back({piece.begin + part.begin, piece.begin + part.end});
  }
  pieces.first_starts_input &= !result.empty() && result[0].begin == pieces.spans[0].begin;
  pieces.spans = std::move(result);
}

class FixedLength : public PreTokenizer {
 public:
  explicit FixedLength(int64_t length) : length_(length) {}
  void apply(Pieces& pieces) const override {
    cut_pieces(pieces, [this](std::string_view text, std::vector<Span>& parts) {
      for (size_t end = 0; end < text.size();) {
        const size_t begin = end;
        for (int64_t i = 0; i < length_ && end < text.size(); ++i) (void)next_char(text, end);
        parts.push_back({begin, end});
      }
    });
  }

 private:
  int64_t length_;  // characters
};

// Cuts where the script changes. A space belongs to what is before it, and is lost at the beginning of a piece.
class UnicodeScripts : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    cut_pieces(pieces, [](std::string_view text, std::vector<Span>& parts) {
      int last = kAnyScript;
      bool started = false;
      for (size_t end = 0; end < text.size();) {
        const size_t begin = end;
        const int script = script_of(next_char(text, end));
        const bool cuts = script != kAnyScript && (!started || (last != kAnyScript && last != script));
        if (cuts) parts.push_back({begin, begin});
        if (script != kAnyScript) last = script;
        started = started || cuts;
        if (!parts.empty()) parts.back().end = end;
      }
    });
  }
};

PreTokenizerPtr make(const Component& component);

PreTokenizerPtr make_sequence(const Component& component) {
  std::vector<PreTokenizerPtr> parts;
  for_each_component(component, "pretokenizers", [&](const Component& part) { parts.push_back(make(part)); });
  return std::make_unique<Sequence>(std::move(parts));
}

SplitBehavior read_behavior(const Component& component, const std::string& name) {
  constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {{
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous},
  }};
  for (const auto& [known, behavior] : kNames) {
    if (known == name) return behavior;
  }
  component.refuse(fmt::format("the behavior '{}' is not known", name));
}

PreTokenizerPtr make_split(const Component& component) {
  return std::make_unique<Split>(read_pattern(component), read_behavior(component, component.string("behavior")),
                                 component.boolean("invert", false));
}

PreTokenizerPtr make_byte_level(const Component& component) {
  auto words = component.boolean("use_regex", true) ? regex_pattern(kGpt2Regex, component.where) : nullptr;
  return std::make_unique<ByteLevel>(component.boolean("add_prefix_space", true), std::move(words));
}

PrependScheme read_scheme(const Component& component) {
  const std::string name = component.optional_string("prepend_scheme");
  // Files of before prepend_scheme say it with add_prefix_space.
  if (!component.boolean("add_prefix_space", true)) return PrependScheme::kNever;
  if (name.empty() || name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  component.refuse(fmt::format("the prepend_scheme '{}' is not known", name));
}

PreTokenizerPtr make_metaspace(const Component& component) {
  return std::make_unique<Metaspace>(component.string("replacement"), read_scheme(component),
                                     component.boolean("split", true));
}

PreTokenizerPtr make_digits(const Component& component) {
  const bool individual = component.boolean("individual_digits", false);
  return std::make_unique<Split>(char_pattern(is_numeric),
                                 individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, false);
}

PreTokenizerPtr make_punctuation(const Component& component) {
  const std::string behavior = component.optional_string("behavior");
  return std::make_unique<Split>(char_pattern(is_punctuation),
                                 read_behavior(component, behavior.empty() ? "Isolated" : behavior), false);
}

bool is_symbol(char32_t c) { return !is_word(c) && !is_whitespace(c); }

// \w+|[^\w\s]+ with white space removed: cut between the kinds.
PreTokenizerPtr make_whitespace(const Component&) {
  std::vector<PreTokenizerPtr> parts;
  parts.push_back(std::make_unique<Split>(char_pattern(is_whitespace), SplitBehavior::kRemoved, false));
  parts.push_back(std::make_unique<Split>(char_pattern(is_symbol), SplitBehavior::kContiguous, false));
  return std::make_unique<Sequence>(std::move(parts));
}

PreTokenizerPtr make_whitespace_split(const Component&) {
  return std::make_unique<Split>(char_pattern(is_whitespace), SplitBehavior::kRemoved, false);
}

PreTokenizerPtr make_char_delimiter(const Component& component) {
  return std::make_unique<Split>(literal_pattern(component.string("delimiter")), SplitBehavior::kRemoved, false);
}

PreTokenizerPtr make_bert(const Component&) {
  std::vector<PreTokenizerPtr> parts;
  parts.push_back(std::make_unique<Split>(char_pattern(is_whitespace), SplitBehavior::kRemoved, false));
  parts.push_back(std::make_unique<Split>(char_pattern(is_punctuation), SplitBehavior::kIsolated, false));
  return std::make_unique<Sequence>(std::move(parts));
}

PreTokenizerPtr make_fixed_length(const Component& component) {
  const Json* value = component.json.find("length");
  const int64_t length = value == nullptr ? 5 : value->as_int(component.where + ".length");
  if (length < 1) component.refuse(fmt::format("the length is {}; it must be at least 1", length));
  return std::make_unique<FixedLength>(length);
}

PreTokenizerPtr make_scripts(const Component&) { return std::make_unique<UnicodeScripts>(); }

constexpr std::array<ComponentType<PreTokenizerPtr>, 12> kTypes = {{
    {"Sequence", make_sequence},
    {"Split", make_split},
    {"ByteLevel", make_byte_level},
    {"Metaspace", make_metaspace},
    {"Digits", make_digits},
    {"Punctuation", make_punctuation},
    {"Whitespace", make_whitespace},
    {"WhitespaceSplit", make_whitespace_split},
    {"CharDelimiterSplit", make_char_delimiter},
    {"BertPreTokenizer", make_bert},
    {"FixedLength", make_fixed_length},
    {"UnicodeScripts", make_scripts},
}};

PreTokenizerPtr make(const Component& component) { return make_component<PreTokenizerPtr>(component, kTypes); }

}  // namespace

std::unique_ptr<PreTokenizer> read_pretokenizer(const Json& json, const std::string& where) {
  return json.is_null() ? nullptr : make({json, where});
}

}  // namespace hesse
