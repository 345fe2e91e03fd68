#include "tokenizer/decoder.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/component.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

using DecoderPtr = std::unique_ptr<Decoder>;
using Tokens = std::vector<std::string>;

class FunctionDecoder : public Decoder {
 public:
  using Function = std::function<Tokens(Tokens)>;
  explicit FunctionDecoder(Function function) : function_(std::move(function)) {}
  Tokens apply(Tokens tokens) const override { return function_(std::move(tokens)); }

 private:
  Function function_;
};

DecoderPtr from_function(FunctionDecoder::Function function) {
  return std::make_unique<FunctionDecoder>(std::move(function));
}

DecoderPtr make(const Component& component);

DecoderPtr make_sequence(const Component& component) {
  auto parts = std::make_shared<std::vector<DecoderPtr>>();
  for_each_component(component, "decoders", [&](const Component& part) { parts->push_back(make(part)); });
  return from_function([parts](Tokens tokens) {
    for (const auto& part : *parts) tokens = part->apply(std::move(tokens));
    return tokens;
  });
}

// A token with any character outside of the alphabet (an added token, as a rule) stands for its own bytes.
DecoderPtr make_byte_level(const Component&) {
  return from_function([](const Tokens& tokens) {
    std::string bytes;
    for (const std::string& token : tokens) {
      if (!append_bytes_of(bytes, token)) bytes += token;
    }
    return Tokens{utf8_lossy(bytes)};
  });
}

DecoderPtr make_replace(const Component& component) {
  std::shared_ptr<Pattern> pattern = read_pattern(component);
  return from_function([pattern, content = component.string("content")](Tokens tokens) {
    for (std::string& token : tokens) token = replace_all(*pattern, std::string_view(token), content);
    return tokens;
  });
}

// -1 unless `token` is <0xHH>.
int byte_of(std::string_view token) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
  };
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const int high = digit(token[3]);
  const int low = digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Tokens join_byte_tokens(const Tokens& tokens) {
  Tokens out;
  std::string run;
  const auto finish_run = [&] {
    if (run.empty()) return;
    if (first_invalid_utf8(run) == kNoOffset) {
      out.push_back(run);
    } else {
      out.insert(out.end(), run.size(), "\xEF\xBF\xBD");  // one U+FFFD a byte
    }
    run.clear();
  };
  for (const std::string& token : tokens) {
    if (const int byte = byte_of(token); byte >= 0) {
      run += static_cast<char>(byte);
    } else {
      finish_run();
      out.push_back(token);
    }
  }
  finish_run();
  return out;
}

DecoderPtr make_byte_fallback(const Component&) { return from_function(join_byte_tokens); }

DecoderPtr make_fuse(const Component&) {
  return from_function([](const Tokens& tokens) {
    std::string all;
    for (const std::string& token : tokens) all += token;
    return Tokens{all};
  });
}

DecoderPtr make_strip(const Component& component) {
  const auto count = [&](const char* key) { return component.required(key).as_int(component.where + "." + key); };
  return from_function(
      [content = component.string("content"), start = count("start"), stop = count("stop")](Tokens tokens) {
        if (content.empty()) return tokens;
        for (std::string& token : tokens) {
          for (int64_t i = 0; i < start && token.starts_with(content); ++i) token.erase(0, content.size());
          for (int64_t i = 0; i < stop && token.ends_with(content); ++i) token.resize(token.size() - content.size());
        }
        return tokens;
      });
}

DecoderPtr make_metaspace(const Component& component) {
  const bool prepended =
      component.boolean("add_prefix_space", true) && component.optional_string("prepend_scheme") != "never";
  std::shared_ptr<Pattern> mark = literal_pattern(component.string("replacement"));
  return from_function([mark, prepended](Tokens tokens) {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replace_all(*mark, std::string_view(tokens[i]), i == 0 && prepended ? "" : " ");
    return tokens;
  });
}

DecoderPtr make_bpe(const Component& component) {
  const std::string suffix = component.optional_string("suffix");
  std::shared_ptr<Pattern> pattern = literal_pattern(suffix.empty() ? "</w>" : suffix);
  return from_function([pattern](Tokens tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replace_all(*pattern, std::string_view(tokens[i]), i + 1 == tokens.size() ? "" : " ");
    }
    return tokens;
  });
}

// What English words lose their space before: " n't" and such.
std::string cleaned_up(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (const auto& [from, to] : kRules) {
    std::string out;
    size_t done = 0;
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
      out.append(text, done, at - done).append(to);
      done = at + from.size();
    }
    text = out.append(text, done);
  }
  return text;
}

DecoderPtr make_wordpiece(const Component& component) {
  const std::string prefix = component.string("prefix");
  const bool cleanup = component.boolean("cleanup", true);
  return from_function([=](Tokens tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) token = token.starts_with(prefix) ? token.substr(prefix.size()) : " " + token;
      if (cleanup) token = cleaned_up(std::move(token));
    }
    return tokens;
  });
}

// Speech: equal tokens in a row are one, some stand for silence.
DecoderPtr make_ctc(const Component& component) {
  const std::shared_ptr<Pattern> pad = literal_pattern(component.string("pad_token"));
  const std::shared_ptr<Pattern> delimiter = literal_pattern(component.string("word_delimiter_token"));
  const bool cleanup = component.boolean("cleanup", true);
  return from_function([=](Tokens tokens) {
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    Tokens out;
    for (const std::string& token : tokens) {
      std::string text = replace_all(*pad, std::string_view(token), "");
      if (cleanup) text = replace_all(*delimiter, std::string_view(cleaned_up(std::move(text))), " ");
      if (!text.empty()) out.push_back(std::move(text));
    }
    return out;
  });
}

constexpr std::array<ComponentType<DecoderPtr>, 10> kTypes = {{
    {"Sequence", make_sequence},
    {"ByteLevel", make_byte_level},
    {"Replace", make_replace},
    {"ByteFallback", make_byte_fallback},
    {"Fuse", make_fuse},
    {"Strip", make_strip},
    {"Metaspace", make_metaspace},
    {"BPEDecoder", make_bpe},
    {"WordPiece", make_wordpiece},
    {"CTC", make_ctc},
}};

DecoderPtr make(const Component& component) { return make_component<DecoderPtr>(component, kTypes); }

}  // namespace

std::unique_ptr<Decoder> read_decoder(const Json& json, const std::string& where) {
  return json.is_null() ? nullptr : make({json, where});
}

}  // namespace hesse
