#include "data/special_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "data/windows.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

constexpr double kFullShare = 0.9;  // embeddings are padded to round numbers, by far less than a tenth

// Classes of transformers that put BOS in front by themselves, whatever tokenizer.json says; and whether they do when
// 'add_bos_token' is missing.
struct BosClass {
  const char* name;
  bool adds;
};
constexpr BosClass kBosClasses[] = {{"LlamaTokenizer", true},
                                    {"CodeLlamaTokenizer", true},
                                    {"GemmaTokenizer", true},
                                    {"CohereTokenizer", true},
                                    {"GPTNeoXTokenizer", false}};

Json read_json(const fs::path& path) {
  return fs::exists(path) ? Json::parse(read_text_file(path), path.filename().string()) : Json();
}

// A number, or a list of them.
Ids ids_of(const Json& json, const std::string& key, const std::string& file) {
  const Json* value = json.find_value(key);
  if (value == nullptr) return {};
  const std::string where = fmt::format("{}, '{}'", file, key);
  Ids ids;
  const Json::Array one{*value};
  for (const Json& id : value->is_array() ? value->as_array(where) : one) ids.push_back(id.as_int(where));
  return ids;
}

bool has(const Ids& ids, int64_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

bool share_one(const Ids& a, const Ids& b) {
  return std::any_of(a.begin(), a.end(), [&](int64_t id) { return has(b, id); });
}

bool equal_sets(const Ids& a, const Ids& b) {
  return std::all_of(a.begin(), a.end(), [&](int64_t id) { return has(b, id); }) &&
         std::all_of(b.begin(), b.end(), [&](int64_t id) { return has(a, id); });
}

std::string upper(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return text;
}

// The ids that one file names, without those that have no embedding.
struct Named {
  std::string file;
  Ids ids;
  std::string content;  // of the token, where the file has it
  std::string text() const {
    const std::string numbers = fmt::format("{}", fmt::join(ids, ", "));
    return fmt::format("{} in {}{}", numbers, file, content.empty() ? "" : fmt::format(" ('{}')", content));
  }
};

std::vector<Named> named_by_files(const SpecialTokenFacts& token) {
  std::vector<Named> all = {{"config.json", token.config, ""}, {"generation_config.json", token.generation, ""}};
  if (token.tokenizer >= 0) all.push_back({"tokenizer_config.json", {token.tokenizer}, token.content});
  return all;
}

std::string list(const std::vector<Named>& named) {
  std::string text;
  for (const Named& one : named) text += (text.empty() ? "" : ", ") + one.text();
  return text;
}

// One token: its ids against the vocabulary, then the files against each other.
class TokenCheck {
 public:
  TokenCheck(const SpecialTokenFacts& token, const SpecialTokenUse& use, Findings& findings)
      : token_(token), use_(use), findings_(findings), id_("tokenizer." + token.name), name_(upper(token.name)) {}

  void run() {
    for (Named& named : named_by_files(token_)) {
      drop_outside(named);
      if (!named.ids.empty()) named_.push_back(std::move(named));
    }
    if (token_.name == "bos") {
      check_bos();
    } else if (named_.empty()) {
      if (token_.name == "eos" && !outside_) {
        findings_.note(id_, "no file names an EOS token", "generated text ends only at its length", "");
      }
    } else {
      compare();
    }
  }

 private:
  void drop_outside(Named& named) {
    const auto first = std::stable_partition(named.ids.begin(), named.ids.end(),
                                             [&](int64_t id) { return id < 0 || use_.vocab == 0 || id < use_.vocab; });
    for (auto id = first; id != named.ids.end(); ++id) tell_outside(named, *id);
    named.ids.erase(first, named.ids.end());
    // A negative padding id means: none.
    named.ids.erase(std::remove_if(named.ids.begin(), named.ids.end(), [](int64_t id) { return id < 0; }),
                    named.ids.end());
  }

  void tell_outside(const Named& named, int64_t id) {
    outside_ = true;
    const std::string what =
        fmt::format("[tokenizer] {} is {} in {}, but the model has {} embeddings", name_, id, named.file, use_.vocab);
    const std::string remedy = fmt::format("correct {}, or take it from the original model again", named.file);
    if (token_.name == "pad" && named.file == "config.json") {
      findings_.error(Error(ErrorKind::kBadInput, what), {id_, "transformers does not load a model like that", remedy});
    } else if (token_.name == "bos" && use_.bos) {
      findings_.error(Error(ErrorKind::kBadInput, what), {id_, "windows would begin with a token of no row", remedy});
    } else {
      findings_.warning(id_, what, "whoever uses it reads past the end of the embedding, or never meets it", remedy);
    }
  }

  void check_bos() {
    if (token_.tokenizer < 0) {
      const std::string others = named_.empty() ? "" : fmt::format(" ({})", list(named_));
      if (!outside_) {
        findings_.note(id_, "the tokenizer has no BOS token, and none will be used" + others,
                       "normal for Qwen, Falcon and others", "");
      }
      return;
    }
    compare();
  }

  std::string used_text() const {
    if (token_.name == "pad") return "nothing is padded here";
    const std::string ids = fmt::format("{}", fmt::join(token_.used, ", "));
    return token_.name == "eos" ? fmt::format("text ends at any of {}", ids) : fmt::format("{} will be used", ids);
  }

  void compare() {
    bool equal = true, disjoint = false;
    for (const Named& a : named_) {
      for (const Named& b : named_) {
        equal = equal && equal_sets(a.ids, b.ids);
        disjoint = disjoint || !share_one(a.ids, b.ids);
      }
    }
    const std::string what = fmt::format("{} is {}; {}", name_, list(named_), used_text());
    if (equal) {
      findings_.good(id_, what);
    } else if (disjoint && token_.name != "pad") {
      findings_.warning(id_, what, "programs that follow another file treat texts differently",
                        "see which is right in the original model, and correct the other file");
    } else {
      findings_.note(id_, what);
    }
  }

  const SpecialTokenFacts& token_;
  const SpecialTokenUse& use_;
  Findings& findings_;
  std::string id_, name_;
  std::vector<Named> named_;
  bool outside_ = false;  // an id without an embedding has been told
};

}  // namespace

std::vector<SpecialTokenFacts> read_special_tokens(const fs::path& directory, const Json& config,
                                                   const Tokenizer& tokenizer) {
  const Json generation = read_json(directory / "generation_config.json");
  const std::pair<const char*, int32_t> rows[] = {
      {"bos", tokenizer.bos_id()}, {"eos", tokenizer.eos_id()}, {"pad", tokenizer.pad_id()}};
  std::vector<SpecialTokenFacts> tokens;
  for (const auto& [name, id] : rows) {
    SpecialTokenFacts token;
    const std::string key = std::string(name) + "_token_id";
    token.name = name;
    token.config = ids_of(config, key, "config.json");
    token.generation = ids_of(generation, key, "generation_config.json");
    token.tokenizer = id;
    if (id >= 0) token.content = tokenizer.token(id);
    if (id >= 0) token.used.push_back(id);
    if (token.name == "eos") {
      for (const Ids& more : {token.config, token.generation}) {
        for (const int64_t other : more) {
          if (!has(token.used, other)) token.used.push_back(other);
        }
      }
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

void check_special_tokens(const std::vector<SpecialTokenFacts>& tokens, const SpecialTokenUse& use,
                          Findings& findings) {
  for (const SpecialTokenFacts& token : tokens) TokenCheck(token, use, findings).run();
}

bool expects_bos(const fs::path& directory, const Tokenizer& tokenizer) {
  if (tokenizer.bos_id() < 0) return false;
  if (tokenizer.adds_bos()) return true;
  const Json config = read_json(directory / "tokenizer_config.json");
  const Json* name = config.find_value("tokenizer_class");
  const std::string tokenizer_class = name != nullptr && name->is_string() ? name->as_string("") : "";
  const auto row = std::find_if(std::begin(kBosClasses), std::end(kBosClasses), [&](const BosClass& known) {
    return tokenizer_class == known.name || tokenizer_class == std::string(known.name) + "Fast";
  });
  if (row == std::end(kBosClasses)) return false;
  const Json* add = config.find_value("add_bos_token");
  return add != nullptr && add->is_bool() ? add->as_bool("") : row->adds;
}

bool begins_with_bos(const std::string& rule, const fs::path& directory, const Tokenizer& tokenizer) {
  if (rule == "always") (void)require_bos(tokenizer);
  return rule == "always" || (rule == "auto" && expects_bos(directory, tokenizer));
}

void check_vocabulary(const Tokenizer& tokenizer, int64_t vocab, Findings& findings) {
  const int64_t tokens = tokenizer.vocab_size();
  int64_t outside = 0;  // of the model's own, not added to it later
  for (int64_t id = vocab; id < tokens; ++id) {
    const int32_t token = static_cast<int32_t>(id);
    if (!tokenizer.token(token).empty() && !tokenizer.is_added(token)) ++outside;
  }
  const std::string what = fmt::format("the tokenizer has {} tokens, the model {} embeddings", tokens, vocab);
  const char* const id = "tokenizer.vocabulary";
  if (outside > 0) {
    findings.error(
        Error(ErrorKind::kBadInput, fmt::format("[tokenizer] {}: {} tokens of text have none", what, outside)),
        {id, "text would read past the end of the embedding",
         "this tokenizer belongs to another model: take both from the same place"});
  } else if (tokens > vocab) {
    findings.note(id, what + "; only tokens that were added later have none",
                  "harmless as long as no text contains them", "");
  } else if (static_cast<double>(tokens) < kFullShare * static_cast<double>(vocab)) {
    findings.warning(id, what, "embeddings are padded, but seldom by a tenth: it may be another model's tokenizer",
                     "take tokenizer.json and the weights from the same place");
  } else {
    findings.good(id, what);
  }
}

}  // namespace hesse
