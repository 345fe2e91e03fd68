#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "tokenize",
    "text to token ids and back, to look at",
    "MODEL --text TEXT | --file FILE... | --decode IDS [flags]",
    "  hesse tokenize Llama-3.2-1B --text \"Once upon a time\"\n"
    "      a line for each token: its id, its bytes in the text, what it is in the tokenizer's file\n"
    "  hesse tokenize Llama-3.2-1B --file text.txt --no-special --json\n"
    "  hesse tokenize Llama-3.2-1B --decode \"128000 12805 5304 264 892\"\n"
    "  hesse tokenize tokenizer.model --text \"Once upon a time\"\n"
    "      MODEL may be the file of a tokenizer by itself\n",
};

// Control characters would change the terminal or break the line.
std::string visible(const std::string& piece) {
  std::string out;
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

std::string token_table(const TokenizedText& tokenized) {
  std::string text = fmt::format("{:>8}  {:>15}  {}\n", "id", "bytes", "piece");
  for (const TokenPiece& token : tokenized.tokens) {
    text += fmt::format("{:>8}  {:>15}  {}\n", token.id, fmt::format("{} to {}", token.begin, token.end),
                        visible(token.piece));
  }
  return text;
}

}  // namespace

int run_tokenize(const Arguments& arguments) {
  TokenizeOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  Console console(manner);
  const TokenizeResult result = tokenize(options);
  if (manner.json) {
    console.output(to_json(result) + '\n');
    return kExitFine;
  }
  for (const TokenizedText& tokenized : result.texts) {
    if (!options.decode.empty()) {
      console.output(tokenized.text + '\n');
      continue;
    }
    if (!tokenized.name.empty()) console.output(tokenized.name + ":\n");
    console.output(token_table(tokenized));
    console.detail(fmt::format("{} of {}, {} bytes", counted(static_cast<int64_t>(tokenized.tokens.size()), "token"),
                               result.vocabulary, tokenized.text.size()));
  }
  return kExitFine;
}

}  // namespace hesse
