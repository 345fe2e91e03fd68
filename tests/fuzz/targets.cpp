#include "fuzz/targets.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/documents.h"
#include "formats/format.h"
#include "hesse/error.h"
#include "io/checkpoint.h"
#include "io/journal.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "plan/recipe.h"
#include "run/unit.h"
#include "template/chat.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/tokenizer.h"

namespace hesse::fuzz {
namespace {

namespace fs = std::filesystem;

// Runs `read`, which may refuse its input in one way only.
template <class Read>
void read_or_refuse(Read read) {
  try {
    read();
  } catch (const Error& error) {
    const std::string_view text = error.what();
    if (error.kind() != ErrorKind::kBadInput) broken("bad input is kBadInput", text);
    if (text.empty() || text.find('\n') != text.npos) broken("an error is one line", text);
  }
}

void read_json(std::string_view bytes) {
  read_or_refuse([&] {
    const Json value = Json::parse(bytes, "x.json");
    const std::string text = value.dump();
    if (Json::parse(text, "x.json").dump() != text) broken("JSON that was written reads the same", text);
    if (Json::parse(value.dump(2), "x.json").dump() != text) broken("indentation changes nothing", text);
  });
}

void read_config(std::string_view bytes) {
  read_or_refuse([&] {
    const ModelConfig config = parse_model_config(Json::parse(bytes, "config.json"), "config.json");
    if (config.hidden <= 0 || config.layers <= 0 || config.heads <= 0 || config.vocab <= 0)
      broken("sizes of a config are positive", config.family->name);
    if (config.layer_attention.size() != static_cast<size_t>(config.layers))
      broken("every layer has its attention", config.family->name);
  });
}

// Byte-level BPE with nothing that changes or drops text: it must come back.
bool promises_round_trip(const Json& json, const Tokenizer& tokenizer) {
  const auto type_of = [&](const char* part) {
    const Json* value = json.find(part);
    const Json* type = value == nullptr ? nullptr : value->find("type");
    return type != nullptr && type->is_string() ? type->as_string("type") : std::string();
  };
  const Json* pre = json.find("pre_tokenizer");
  const Json* prefix = pre == nullptr ? nullptr : pre->find("add_prefix_space");
  const Json* added = json.find("added_tokens");
  const bool plain = json.find_value("normalizer") == nullptr && type_of("pre_tokenizer") == "ByteLevel" &&
                     type_of("decoder") == "ByteLevel" && prefix != nullptr && prefix->dump() == "false" &&
                     type_of("model") == "BPE" && (added == nullptr || (added->is_array() && added->dump() == "[]"));
  const auto undecorated = [&](const char* key) {
    const Json* value = json.find("model")->find_value(key);
    return value == nullptr || value->dump() == "\"\"";
  };
  if (!plain || !undecorated("continuing_subword_prefix") || !undecorated("end_of_word_suffix")) return false;
  std::string letter;
  for (int byte = 0; byte < 256; ++byte) {
    letter.clear();
    append_byte_char(letter, static_cast<unsigned char>(byte));
    if (tokenizer.token_id(letter) < 0) return false;
  }
  return true;
}

void check_places(const std::vector<TokenPlace>& places, const std::vector<int32_t>& ids, std::string_view text) {
  if (places.size() != ids.size()) broken("every id has its place", text);
  for (size_t i = 0; i < ids.size(); ++i) {
    const TokenPlace& place = places[i];
    if (place.id != ids[i]) broken("places are of the ids of encode", text);
    if (place.bytes.begin > place.bytes.end || place.bytes.end > text.size()) broken("places lie in the text", text);
  }
}

void check_tokenizer(const Json& json, const std::string& where) {
  const Tokenizer tokenizer = Tokenizer::from_json(json, Json(), where);
  const bool comes_back = promises_round_trip(json, tokenizer);
  for (const std::string_view text :
       {"", "the quick  brown fox\n 12345", "\xC3\xA9t\xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD <s>"}) {
    for (const auto special : {Tokenizer::SpecialTokens::kNone, Tokenizer::SpecialTokens::kAdd}) {
      const std::vector<int32_t> ids = tokenizer.encode(text, special);
      for (const int32_t id : ids) {
        if (id < 0 || id >= tokenizer.vocab_size()) broken("ids lie in the vocabulary", std::to_string(id));
      }
      if (ids != tokenizer.encode(text, special)) broken("the same text has the same ids", text);
      check_places(tokenizer.trace(text, special), ids, text);
      const std::string whole = tokenizer.decode(ids, false);
      (void)tokenizer.decode(ids, true);
      const bool plain = special == Tokenizer::SpecialTokens::kNone;
      if (comes_back && plain && whole != text) broken("what byte-level BPE encodes it decodes", whole);
    }
  }
}

void read_tokenizer(std::string_view bytes) {
  read_or_refuse([&] { check_tokenizer(Json::parse(bytes, "tokenizer.json"), "tokenizer.json"); });
}

void read_sentencepiece(std::string_view bytes) {
  read_or_refuse([&] {
    const SentencePieceModel model = parse_sentencepiece(bytes, "tokenizer.model");
    check_tokenizer(sentencepiece_as_json(model, "tokenizer.model"), "tokenizer.model");
  });
}

void read_recipe(std::string_view bytes) {
  read_or_refuse([&] { parse_recipe(bytes, "recipe.toml"); });
}

// A file of this process, gone when it is done with.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view bytes)
      : path_(fs::temp_directory_path() / ("hesse-fuzz-" + std::to_string(::getpid()))) {
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void read_safetensors(std::string_view bytes) {
  const TemporaryFile file(bytes);
  read_or_refuse([&] {
    const SafetensorsFile tensors(file.path());
    unsigned sum = 0;  // of all bytes: each must be there
    for (const TensorView& tensor : tensors.tensors()) {
      if (static_cast<int64_t>(tensor.bytes.size()) != tensor.spec.bytes())
        broken("a tensor has the bytes that its shape says", tensor.spec.name);
      for (const std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);
    }
    if (sum > 255u * bytes.size()) broken("tensors do not overlap", std::to_string(sum));
  });
}

// What stands in front of the first bad byte is read, whatever follows; and entries go on behind it.
void read_any_journal(std::string_view bytes) {
  const TemporaryFile file(bytes);
  const JournalContents found = read_journal(file.path());
  if (found.file_bytes != static_cast<int64_t>(bytes.size()) || found.good_bytes() > found.file_bytes)
    broken("a journal ends where its file does", std::to_string(found.good_bytes()));
  if (found.entries.empty()) return;
  for (const JournalEntry& entry : found.entries) {
    // What was damaged and still has its checksum would be a feat; what it means may be anything.
    read_or_refuse([&] { (void)unit_from_json(Json::parse(entry.payload, "journal")); });
  }
  Journal(file.path(), found.good_bytes()).append("one more");
  const JournalContents more = read_journal(file.path());
  if (more.entries.size() != found.entries.size() + 1 || more.entries.back().payload != "one more" || more.damaged)
    broken("a journal goes on behind its good entries", std::to_string(more.entries.size()));
}

// A journal whose checksums are right: what its entries say is strangers' bytes.
void read_unit(std::string_view bytes) {
  read_or_refuse([&] {
    const Unit unit = unit_from_json(Json::parse(bytes, "journal"));
    const std::string text = unit_json(unit).dump();
    if (unit_json(unit_from_json(Json::parse(text, "journal"))).dump() != text)
      broken("a unit that was written reads the same", text);
  });
}

// A template with a conversation behind a zero byte or without: text, or one refusal; and the same again.
void render_template(std::string_view bytes) {
  const size_t zero = bytes.find('\0');
  read_or_refuse([&] {
    const ChatTemplate chat(bytes.substr(0, zero), "x.jinja");
    const std::string_view given = zero == std::string_view::npos ? "" : bytes.substr(zero + 1);
    const Json messages =
        given.empty()
            ? Json::parse(R"([{"role": "user", "content": "Hi \u00e9"}, {"role": "assistant", "content": "Yes"}])", "x")
            : Json::parse(given, "messages");
    ChatOptions options;
    options.now = std::tm{};
    options.variables.set("bos_token", "<s>");
    options.tools = Json::Array{Json::Object{{"name", "f"}, {"parameters", Json::object()}}};
    const std::string text = render_chat(chat, messages, options);
    if (text.size() > (size_t{16} << 20)) broken("output is bounded", std::to_string(text.size()));
    if (render_chat(chat, messages, options) != text) broken("the same messages give the same text", text);
  });
}

// A line of JSONL: a document that has what its kind says.
void read_line(std::string_view bytes) {
  read_or_refuse([&] {
    const Document document = parse_jsonl_line(bytes, "x.jsonl: line 1");
    if (document.kind != Document::Kind::kMessages) return;
    for (const Json& message : document.messages.as_array("x")) {
      if (!message.is_object()) broken("a message is an object", message.dump());
    }
  });
}

// The configuration in the first line, a safetensors file behind it. What can be read can be written and read again.
void read_packed(std::string_view bytes) {
  const size_t end = std::min(bytes.find('\n'), bytes.size());
  const TemporaryFile file(bytes.substr(std::min(end + 1, bytes.size())));
  read_or_refuse([&] {
    const Json config = Json::parse(bytes.substr(0, end), "config.json");
    const ExportFormat* format = format_of(&config);
    const Checkpoint checkpoint = Checkpoint::of_file(file.path());
    if (format == nullptr) return;
    format->listed_as_plain(config);
    for (const std::string& module : packed_modules(*format, checkpoint)) {
      const QuantizedLinear linear = format->read(checkpoint, module, config);
      const LinearSize size = format->size(checkpoint, module);
      if (size.out != linear.out() || size.in != linear.in()) broken("a linear has the size that it says", module);
      if (dequantize(linear).size() != linear.codes.size()) broken("every weight has a value", module);
      if (!format->why_not(linear).empty()) continue;
      size_t tensors = 0;
      format->write(module, linear, [&](std::string_view, std::span<const std::byte>) { ++tensors; });
      if (tensors != format->layout(module, form_of(linear)).size()) broken("all of a linear is written", module);
    }
  });
}

constexpr Target kTargets[] = {
    {"json", read_json},           {"config", read_config},
    {"tokenizer", read_tokenizer}, {"sentencepiece", read_sentencepiece},
    {"recipe", read_recipe},       {"safetensors", read_safetensors},
    {"packed", read_packed},       {"journal", read_any_journal},
    {"unit", read_unit},           {"template", render_template},
    {"jsonl", read_line},
};

}  // namespace

std::span<const Target> targets() { return kTargets; }

void broken(std::string_view promise, std::string_view what) {
  std::fprintf(stderr, "broken promise: %.*s: %.*s\n", static_cast<int>(promise.size()), promise.data(),
               static_cast<int>(what.size()), what.data());
  std::abort();
}

}  // namespace hesse::fuzz
