#include "tokenizer/normalizer.h"

#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "tokenizer/bert.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/component.h"
#include "tokenizer/pattern.h"
#include "tokenizer/precompiled.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_changes.h"

namespace hesse {
namespace {

using NormalizerPtr = std::unique_ptr<Normalizer>;

class FunctionNormalizer : public Normalizer {
 public:
  using Function = std::function<Text(Text)>;
  explicit FunctionNormalizer(Function function) : function_(std::move(function)) {}
  Text apply(Text text) const override { return function_(std::move(text)); }

 private:
  Function function_;
};

NormalizerPtr from_function(FunctionNormalizer::Function function) {
  return std::make_unique<FunctionNormalizer>(std::move(function));
}

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<NormalizerPtr> parts) : parts_(std::move(parts)) {}
  Text apply(Text text) const override {
    for (const auto& part : parts_) text = part->apply(std::move(text));
    return text;
  }

 private:
  std::vector<NormalizerPtr> parts_;
};

class ReplaceNormalizer : public Normalizer {
 public:
  ReplaceNormalizer(std::unique_ptr<Pattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Text apply(Text text) const override { return replace_all(*pattern_, text, content_); }

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

NormalizerPtr make(const Component& component);

NormalizerPtr make_sequence(const Component& component) {
  std::vector<NormalizerPtr> parts;
  for_each_component(component, "normalizers", [&](const Component& part) { parts.push_back(make(part)); });
  return std::make_unique<SequenceNormalizer>(std::move(parts));
}

Text normalized(const Text& text, NormalForm form) {
  if (!text.traced) return Text(normalize_unicode(text.bytes, form), text.leading > 0);
  Rewriter out(text);
  out.change(normalization_changes(text.bytes, form));
  return out.take();
}

template <NormalForm form>
NormalizerPtr make_form(const Component&) {
  return from_function([](const Text& text) { return normalized(text, form); });
}

Text lowercased(const Text& text) {
  Rewriter out(text);
  std::string lower;
  for (size_t i = 0; i < text.bytes.size();) {
    const size_t begin = i;
    lower.clear();
    append_lowercase(lower, next_char(text.bytes, i));
    out.put(lower, begin);
  }
  return out.take();
}

NormalizerPtr make_lowercase(const Component&) { return from_function(lowercased); }

Text strip(const Text& text, bool left, bool right) {
  size_t begin = 0;
  size_t end = text.bytes.size();
  for (size_t next = 0; left && begin < end; begin = next) {
    if (!is_whitespace(next_char(text.bytes, next))) break;
  }
  while (right && end > begin) {
    const size_t last = previous_offset(text.bytes, end);
    size_t at = last;
    if (!is_whitespace(next_char(text.bytes, at))) break;
    end = last;
  }
  return text.part({begin, end});
}

NormalizerPtr make_strip(const Component& component) {
  const bool left = component.boolean("strip_left", false);
  const bool right = component.boolean("strip_right", false);
  return from_function([=](const Text& text) { return strip(text, left, right); });
}

NormalizerPtr make_strip_accents(const Component&) {
  return from_function([](const Text& text) {
    Rewriter out(text);
    for (size_t i = 0; i < text.bytes.size();) {
      const size_t begin = i;
      if (!is_mark(next_char(text.bytes, i))) out.keep(begin, i);
    }
    return out.take();
  });
}

NormalizerPtr make_prepend(const Component& component) {
  return from_function([prefix = component.string("prepend")](Text text) {
    if (text.bytes.empty()) return text;
    Rewriter out(text);
    out.put(prefix, 0);
    out.keep(0, text.bytes.size());
    return out.take();
  });
}

NormalizerPtr make_replace(const Component& component) {
  return std::make_unique<ReplaceNormalizer>(read_pattern(component), component.string("content"));
}

NormalizerPtr make_byte_level(const Component&) {
  return from_function([](const Text& text) {
    Rewriter out(text);
    put_byte_chars(out, {0, text.bytes.size()});
    return out.take();
  });
}

NormalizerPtr make_nmt(const Component&) { return from_function(nmt_clean); }

NormalizerPtr make_bert(const Component& component) {
  const bool lowercase = component.boolean("lowercase", true);
  const bool clean = component.boolean("clean_text", true);
  const bool space = component.boolean("handle_chinese_chars", true);
  const bool strip_accents = component.boolean("strip_accents", lowercase);
  return from_function([=](Text text) {
    if (clean) text = bert_clean(text);
    if (space) text = bert_space_ideographs(text);
    if (strip_accents) text = without_nonspacing_marks(normalized(text, NormalForm::kNfd));
    if (lowercase) text = lowercased(text);
    return text;
  });
}

// "longest" is ours: a tokenizer.model is read as one.
NormalizerPtr make_precompiled(const Component& component) {
  const std::string where = component.where + ".precompiled_charsmap";
  const auto map =
      std::make_shared<CharacterMap>(decode_base64(component.optional_string("precompiled_charsmap"), where), where);
  const bool longest = component.boolean("longest", false);
  return from_function([=](const Text& text) { return longest ? map->apply_longest(text) : map->apply(text); });
}

constexpr std::array<ComponentType<NormalizerPtr>, 14> kTypes = {{
    {"Sequence", make_sequence},
    {"NFC", make_form<NormalForm::kNfc>},
    {"NFD", make_form<NormalForm::kNfd>},
    {"NFKC", make_form<NormalForm::kNfkc>},
    {"NFKD", make_form<NormalForm::kNfkd>},
    {"Lowercase", make_lowercase},
    {"Strip", make_strip},
    {"StripAccents", make_strip_accents},
    {"Prepend", make_prepend},
    {"Replace", make_replace},
    {"ByteLevel", make_byte_level},
    {"Nmt", make_nmt},
    {"BertNormalizer", make_bert},
    {"Precompiled", make_precompiled},
}};

NormalizerPtr make(const Component& component) { return make_component<NormalizerPtr>(component, kTypes); }

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Json& json, const std::string& where) {
  return json.is_null() ? nullptr : make({json, where});
}

}  // namespace hesse
