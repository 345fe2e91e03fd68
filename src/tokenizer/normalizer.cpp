#include "tokenizer/normalizer.h"

#include <array>
#include <functional>
#include <utility>
#include <vector>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/component.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

using NormalizerPtr = std::unique_ptr<Normalizer>;

class FunctionNormalizer : public Normalizer {
 public:
  using Function = std::function<std::string(std::string)>;
  explicit FunctionNormalizer(Function function) : function_(std::move(function)) {}
  std::string apply(std::string text) const override { return function_(std::move(text)); }

 private:
  Function function_;
};

NormalizerPtr from_function(FunctionNormalizer::Function function) {
  return std::make_unique<FunctionNormalizer>(std::move(function));
}

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<NormalizerPtr> parts) : parts_(std::move(parts)) {}
  std::string apply(std::string text) const override {
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
  std::string apply(std::string text) const override { return replace_all(*pattern_, text, content_); }

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

template <NormalForm form>
NormalizerPtr make_form(const Component&) {
  return from_function([](const std::string& text) { return normalize_unicode(text, form); });
}

NormalizerPtr make_lowercase(const Component&) {
  return from_function([](const std::string& text) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) append_lowercase(out, next_char(text, i));
    return out;
  });
}

std::string strip(const std::string& text, bool left, bool right) {
  size_t begin = 0;
  size_t end = text.size();
  for (size_t next = 0; left && begin < end; begin = next) {
    if (!is_whitespace(next_char(text, next))) break;
  }
  while (right && end > begin) {
    const size_t last = previous_offset(text, end);
    size_t at = last;
    if (!is_whitespace(next_char(text, at))) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

NormalizerPtr make_strip(const Component& component) {
  const bool left = component.boolean("strip_left", false);
  const bool right = component.boolean("strip_right", false);
  return from_function([=](const std::string& text) { return strip(text, left, right); });
}

NormalizerPtr make_strip_accents(const Component&) {
  return from_function([](const std::string& text) {
    std::string out;
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      if (!is_mark(next_char(text, i))) out.append(text, begin, i - begin);
    }
    return out;
  });
}

NormalizerPtr make_prepend(const Component& component) {
  return from_function([prefix = component.string("prepend")](std::string text) {
    return text.empty() ? std::move(text) : prefix + text;
  });
}

NormalizerPtr make_replace(const Component& component) {
  return std::make_unique<ReplaceNormalizer>(read_pattern(component), component.string("content"));
}

NormalizerPtr make_byte_level(const Component&) {
  return from_function([](const std::string& text) {
    std::string out;
    append_byte_chars(out, text);
    return out;
  });
}

constexpr std::array<ComponentType<NormalizerPtr>, 11> kTypes = {{
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
}};

NormalizerPtr make(const Component& component) { return make_component<NormalizerPtr>(component, kTypes); }

}  // namespace

std::unique_ptr<Normalizer> read_normalizer(const Json& json, const std::string& where) {
  return json.is_null() ? nullptr : make({json, where});
}

}  // namespace hesse
