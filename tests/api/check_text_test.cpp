// Defects of a tokenizer and of a calibration text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "api/check_rows.h"
#include "base/rng.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

void shuffle_tokens(const ModelCopy& copy) {
  Json tokenizer = Json::parse(read_text_file(copy.model() / "tokenizer.json"), "tokenizer.json");
  Json model = *tokenizer.find("model");
  Json vocab = *model.find("vocab");
  std::vector<std::pair<std::string, int64_t>> tokens;  // without the two special ones
  std::vector<int64_t> ids;
  for (const auto& [token, id] : vocab.as_object("vocab")) {
    if (id.as_int("id") < 2) continue;
    tokens.emplace_back(token, id.as_int("id"));
    ids.push_back(tokens.back().second);
  }
  Rng(7).shuffle(ids);
  Json::Object shuffled;
  for (const auto& member : vocab.as_object("vocab")) {
    if (member.second.as_int("id") < 2) shuffled.push_back(member);
  }
  for (size_t i = 0; i < tokens.size(); ++i) shuffled.emplace_back(tokens[i].first, Json(ids[i]));
  model.set("vocab", Json(shuffled));
  tokenizer.set("model", model);
  copy.put("model/tokenizer.json", tokenizer.dump());
}

void remove_bos(const ModelCopy& copy) {
  copy.set("tokenizer_config.json", "bos_token", "null");
  copy.set("tokenizer.json", "post_processor", "null");
}

const Row kTokenizer[] = {
    {"NoTokenizer",
     Severity::kError,
     "tokenizer.file",
     {"tokenizer.json"},
     [](const ModelCopy& copy, CheckOptions&) { fs::remove(copy.model() / "tokenizer.json"); }},
    {"BosDisagrees",
     Severity::kWarning,
     "tokenizer.bos",
     {"BOS is 5 in config.json, 0 in generation_config.json, 0 in tokenizer_config.json", "0 will be used"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("bos_token_id", "5"); }},
    {"BosWantedButNone",
     Severity::kError,
     "tokenizer.bos",
     {"this tokenizer has no BOS token; give --bos never"},
     [](const ModelCopy& copy, CheckOptions& o) {
       remove_bos(copy);
       o.quantize.bos = "always";
     }},
    {"EosDisagrees",
     Severity::kWarning,
     "tokenizer.eos",
     {"EOS is 7, 8 in config.json, 1 in", "any of 1, 7, 8"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("eos_token_id", "[7, 8]"); }},
    {"EosOutside",
     Severity::kWarning,
     "tokenizer.eos",
     {"EOS is 99999 in config.json", "4096 embeddings"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("eos_token_id", "99999"); }},
    {"PadOutside",
     Severity::kError,
     "tokenizer.pad",
     {"PAD is 4096 in config.json", "4096 embeddings"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("pad_token_id", "4096"); }},
    {"IdIsNoNumber",
     Severity::kError,
     "tokenizer.ids",
     {"config.json, 'bos_token_id'"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("bos_token_id", "\"<s>\""); }},
    {"FewerEmbeddings",
     Severity::kError,
     "tokenizer.vocabulary",
     {"4096 tokens, the model 4000 embeddings", "96"},
     [](const ModelCopy& copy, CheckOptions& o) {
       copy.set_config("vocab_size", "4000");
       copy.change("model.embed_tokens.weight", [](StoredTensor& tensor) {
         tensor.spec.shape[0] = 4000;
         tensor.bytes.resize(4000 * 256 * 2);
       });
       o.quantize.calibration.clear();
       o.quantize.method = "rtn";
     }},
    {"ManyMoreEmbeddings",
     Severity::kWarning,
     "tokenizer.vocabulary",
     {"4096 tokens, the model 5000 embeddings"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.set_config("vocab_size", "5000");
       copy.change("model.embed_tokens.weight", [](StoredTensor& tensor) {
         tensor.spec.shape[0] = 5000;
         tensor.bytes.resize(5000 * 256 * 2, '\0');
       });
     }},
    {"AnotherModelsTokenizer",
     Severity::kError,
     "tokenizer.trial",
     {"nats a token on", "knowing nothing gives 8.32"},
     [](const ModelCopy& copy, CheckOptions& o) {
       shuffle_tokens(copy);
       o.quantize.check = true;
     }},
    {"BosNotAdded",
     Severity::kWarning,
     "tokenizer.add-bos",
     {"'<|begin|>'", "add --bos auto"},
     [](const ModelCopy&, CheckOptions& o) { o.quantize.bos = "never"; }},
};

const Row kCalibration[] = {
    {"Empty",
     Severity::kError,
     "calibration.text",
     {"text.txt has 0 tokens, fewer than one window of 64"},
     [](const ModelCopy& copy, CheckOptions&) { copy.put("text.txt", ""); }},
    {"NotThere",
     Severity::kError,
     "calibration.text",
     {"text.txt"},
     [](const ModelCopy& copy, CheckOptions&) { fs::remove(copy.file("text.txt")); }},
    {"NotUtf8",
     Severity::kError,
     "calibration.text",
     {"byte 3 of 4 is not valid UTF-8"},
     [](const ModelCopy& copy, CheckOptions&) { copy.put("text.txt", "abc\xFF"); }},
    {"FewTokens",
     Severity::kWarning,
     "calibration.tokens",
     {"256 tokens for 768 channels", "512 tokens more", "12"},
     [](const ModelCopy&, CheckOptions& o) { o.quantize.samples = 4; }},
    {"FewWindows",
     Severity::kWarning,
     "calibration.windows",
     {"windows of 64 tokens, not the 500 asked for"},
     [](const ModelCopy&, CheckOptions& o) { o.quantize.samples = 500; }},
    {"Duplicates",
     Severity::kWarning,
     "calibration.duplicates",
     {"of 16 windows are copies", "% of the tokens"},
     [](const ModelCopy& copy, CheckOptions&) {
       const std::string text = read_text_file(copy.file("text.txt"));
       copy.put("text.txt", repeated(text.substr(0, 2000) + "\n", 8));
     }},
    {"Padding",
     Severity::kWarning,
     "calibration.padding",
     {"% of the tokens are padding"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.set_config("pad_token_id", "1");
       std::string text = read_text_file(copy.file("text.txt"));
       for (size_t at = 0; (at = text.find(' ', at)) != std::string::npos; at += 8) text.replace(at, 1, "<|end|>");
       copy.put("text.txt", text);
     }},
    {"LongerThanPositions",
     Severity::kWarning,
     "calibration.length",
     {"windows of 64 tokens", "for 32 positions"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("max_position_embeddings", "32"); }},
    {"Overlap",
     Severity::kWarning,
     "calibration.overlap",
     {"% of the evaluation text"},
     [](const ModelCopy& copy, CheckOptions& o) { o.text = {copy.file("text.txt").string()}; }},
    {"ForeignText",
     Severity::kWarning,
     "tokenizer.trial",
     {"does not know this calibration text", "8.32"},
     [](const ModelCopy& copy, CheckOptions& o) {
       std::string text;
       Rng rng(3);
       for (int i = 0; i < 3000; ++i) {  // any of 10,000 Han characters
         const uint64_t c = 0x4E00 + rng.below(10000);
         text += {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 0x3F)),
                  static_cast<char>(0x80 | (c & 0x3F))};
       }
       copy.put("text.txt", text);
       o.quantize.check = true;
     }},
};

TEST(Check, DefectsOfTheTokenizer) {
  for (const Row& row : kTokenizer) expect_row(row);
}

TEST(Check, DefectsOfTheCalibration) {
  for (const Row& row : kCalibration) expect_row(row);
}

}  // namespace
}  // namespace hesse
