#include "tokenizer/postprocessor.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tokenizer/component.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

using PostProcessorPtr = std::unique_ptr<PostProcessor>;

// Ids to insert, and the places of the text between them.
class Template : public PostProcessor {
 public:
  void add_text() { parts_.push_back({true, {}}); }
  void add_ids(std::vector<int32_t> ids) { parts_.push_back({false, std::move(ids)}); }

  std::vector<int32_t> apply(std::vector<int32_t> ids) const override {
    return around(ids, [](int32_t id) { return id; });
  }
  std::vector<PlacedToken> apply(std::vector<PlacedToken> tokens) const override {
    return around(tokens, [](int32_t id) { return PlacedToken{id, {}}; });
  }

 private:
  struct Part {
    bool is_text = false;
    std::vector<int32_t> ids;
  };

  template <class Token, class Make>
  std::vector<Token> around(const std::vector<Token>& text, Make make) const {
    std::vector<Token> out;
    out.reserve(text.size() + parts_.size());
    for (const Part& part : parts_) {
      if (part.is_text) out.insert(out.end(), text.begin(), text.end());
      for (const int32_t id : part.ids) out.push_back(make(id));
    }
    return out;
  }

  std::vector<Part> parts_;
};

bool is_space(char32_t c) { return c == 0x120 || is_whitespace(c); }  // U+0120 is the space of byte-level alphabets

// Takes the white space at the ends of its tokens out of their places, but for the space that was put in front.
class TrimPlaces : public PostProcessor {
 public:
  explicit TrimPlaces(bool prefix_space) : prefix_space_(prefix_space) {}
  std::vector<int32_t> apply(std::vector<int32_t> ids) const override { return ids; }
  std::vector<PlacedToken> apply(std::vector<PlacedToken> tokens) const override { return tokens; }
  void trim(std::vector<PlacedToken>& tokens, const TokenContent& content) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string text = content(tokens[i].id);
      Span& chars = tokens[i].chars;
      const bool first = i == 0 || chars.begin == 0;
      size_t leading = leading_spaces(text);
      if (leading == 1 && first && prefix_space_) leading = 0;  // of several, none was put in front
      chars.begin = std::min(chars.begin + leading, chars.end);
      const size_t trailing = trailing_spaces(text);
      if (chars.end >= trailing) chars.end = std::max(chars.end - trailing, chars.begin);
    }
  }

 private:
  static size_t leading_spaces(std::string_view text) {
    size_t count = 0;
    for (size_t i = 0; i < text.size() && is_space(next_char(text, i));) ++count;
    return count;
  }
  static size_t trailing_spaces(std::string_view text) {
    size_t count = 0;
    while (!text.empty()) {
      const size_t last = previous_offset(text, text.size());
      size_t at = last;
      if (!is_space(next_char(text, at))) break;
      text = text.substr(0, last);
      ++count;
    }
    return count;
  }

  bool prefix_space_;
};

class Sequence : public PostProcessor {
 public:
  explicit Sequence(std::vector<PostProcessorPtr> parts) : parts_(std::move(parts)) {}
  std::vector<int32_t> apply(std::vector<int32_t> ids) const override {
    for (const auto& part : parts_) ids = part->apply(std::move(ids));
    return ids;
  }
  std::vector<PlacedToken> apply(std::vector<PlacedToken> tokens) const override {
    for (const auto& part : parts_) tokens = part->apply(std::move(tokens));
    return tokens;
  }
  void trim(std::vector<PlacedToken>& tokens, const TokenContent& content) const override {
    for (const auto& part : parts_) part->trim(tokens, content);
  }

 private:
  std::vector<PostProcessorPtr> parts_;
};

class Reader {
 public:
  explicit Reader(const IdCheck& known) : known_(known) {}
  PostProcessorPtr read(const Component& component) const;

 private:
  struct Type {
    std::string_view name;
    PostProcessorPtr (Reader::*make)(const Component&) const;
  };

  int32_t checked_id(const Component& component, const Json& json) const {
    const int64_t id = json.as_int(component.where);
    if (!known_(id)) component.refuse(fmt::format("inserts the id {}, which no token has", id));
    return static_cast<int32_t>(id);
  }

  std::vector<int32_t> special_ids(const Component& processor, const Component& piece) const {
    const std::string& name = piece.string("id");
    const Json* token = processor.required("special_tokens").find(name);
    if (token == nullptr) piece.refuse(fmt::format("the token '{}' is not among the special_tokens", name));
    const Component entry{*token, processor.where + ".special_tokens." + name};
    std::vector<int32_t> ids;
    for (const Json& id : entry.array("ids")) ids.push_back(checked_id(entry, id));
    return ids;
  }

  PostProcessorPtr make_template(const Component& component) const {
    auto result = std::make_unique<Template>();
    for_each_component(component, "single", [&](const Component& piece) {
      if (const Json* special = piece.json.find("SpecialToken")) {
        result->add_ids(special_ids(component, {*special, piece.where + ".SpecialToken"}));
        return;
      }
      const Component sequence{piece.required("Sequence"), piece.where + ".Sequence"};
      if (sequence.string("id") != "A")
        sequence.refuse(fmt::format("a single text is 'A', not '{}'", sequence.string("id")));
      result->add_text();
    });
    return result;
  }

  // <cls> A <sep>; both fields are [content, id].
  PostProcessorPtr make_bert(const Component& component) const {
    const auto id_of = [&](const char* key) {
      const Json::Array& pair = component.array(key);
      if (pair.size() != 2) component.refuse(fmt::format("'{}' must be a token and its id", key));
      return checked_id({component.json, component.where + "." + key}, pair[1]);
    };
    auto result = std::make_unique<Template>();
    result->add_ids({id_of("cls")});
    result->add_text();
    result->add_ids({id_of("sep")});
    return result;
  }

  PostProcessorPtr make_sequence(const Component& component) const {
    std::vector<PostProcessorPtr> parts;
    for_each_component(component, "processors", [&](const Component& part) { parts.push_back(read(part)); });
    return std::make_unique<Sequence>(std::move(parts));
  }

  PostProcessorPtr make_trim(const Component& component) const {
    if (!component.boolean("trim_offsets", true)) return std::make_unique<Sequence>(std::vector<PostProcessorPtr>());
    return std::make_unique<TrimPlaces>(component.boolean("add_prefix_space", true));
  }

  PostProcessorPtr make_roberta(const Component& component) const {
    std::vector<PostProcessorPtr> parts;
    parts.push_back(make_trim(component));
    parts.push_back(make_bert(component));
    return std::make_unique<Sequence>(std::move(parts));
  }

  const IdCheck& known_;
};

PostProcessorPtr Reader::read(const Component& component) const {
  constexpr std::array<Type, 5> kTypes = {{
      {"TemplateProcessing", &Reader::make_template},
      {"ByteLevel", &Reader::make_trim},
      {"Sequence", &Reader::make_sequence},
      {"RobertaProcessing", &Reader::make_roberta},
      {"BertProcessing", &Reader::make_bert},
  }};
  const std::string& type = component.string("type");
  for (const Type& row : kTypes) {
    if (row.name == type) return (this->*row.make)(component);
  }
  component.refuse(fmt::format("the type '{}' is not supported", type));
}

}  // namespace

std::unique_ptr<PostProcessor> read_postprocessor(const Json& json, const std::string& where, const IdCheck& known) {
  return json.is_null() ? nullptr : Reader(known).read({json, where});
}

}  // namespace hesse
