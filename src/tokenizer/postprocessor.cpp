#include "tokenizer/postprocessor.h"

#include <array>
#include <utility>

#include "tokenizer/component.h"

namespace hesse {
namespace {

using PostProcessorPtr = std::unique_ptr<PostProcessor>;

// Ids to insert, and the places of the text between them.
class Template : public PostProcessor {
 public:
  void add_text() { parts_.push_back({true, {}}); }
  void add_ids(std::vector<int32_t> ids) { parts_.push_back({false, std::move(ids)}); }

  std::vector<int32_t> apply(std::vector<int32_t> ids) const override {
    std::vector<int32_t> out;
    out.reserve(ids.size() + parts_.size());
    for (const Part& part : parts_) {
      const std::vector<int32_t>& more = part.is_text ? ids : part.ids;
      out.insert(out.end(), more.begin(), more.end());
    }
    return out;
  }

 private:
  struct Part {
    bool is_text = false;
    std::vector<int32_t> ids;
  };
  std::vector<Part> parts_;
};

class Sequence : public PostProcessor {
 public:
  explicit Sequence(std::vector<PostProcessorPtr> parts) : parts_(std::move(parts)) {}
  std::vector<int32_t> apply(std::vector<int32_t> ids) const override {
    for (const auto& part : parts_) {
      if (part != nullptr) ids = part->apply(std::move(ids));
    }
    return ids;
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

  // Changes offsets only, and we have none.
  PostProcessorPtr make_byte_level(const Component&) const { return nullptr; }

  const IdCheck& known_;
};

PostProcessorPtr Reader::read(const Component& component) const {
  constexpr std::array<Type, 5> kTypes = {{
      {"TemplateProcessing", &Reader::make_template},
      {"ByteLevel", &Reader::make_byte_level},
      {"Sequence", &Reader::make_sequence},
      {"RobertaProcessing", &Reader::make_bert},
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
