// The documents of one calibration source, one after the other: a whole text file, or a line of JSONL.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/sources.h"
#include "hesse/types.h"
#include "io/json.h"

namespace hesse {

struct Document {
  enum class Kind { kText, kMessages, kIds };
  Kind kind = Kind::kText;
  std::string text;
  Json messages;  // [{"role": ..., "content": ...}, ...]
  Json tools;     // null: none
  std::vector<int32_t> ids;
  std::string where;  // "code.jsonl", "chat.jsonl: line 17"
};

struct ReadingOptions {
  bool strict = false;       // a line that cannot be used is an error
  int64_t most_bytes = 0;    // of text that are read of the source; what lies behind is not looked at
  int64_t most_pieces = 64;  // in which they are read, where a plain file is larger than that
};

// What the reading of a source came to.
struct SourceFacts {
  TextFacts facts;                   // name, kind, weight, bytes, documents, skipped lines, sha256
  std::vector<std::string> skipped;  // for people: which lines, and why
  std::vector<std::string> parts;    // likewise: what was not looked at
};

// Takes a document; Error(kBadInput) says that it cannot be used. `prepare` is called before, and its errors are fatal.
struct DocumentTaker {
  std::function<void(const Document&)> prepare;
  std::function<void(Document&)> take;
};

// Reads at most `most_bytes` of decompressed text:
//   - a plain text file is one document; one that is larger is read in pieces at even distances, from line to line, and
//     each piece is a document;
//   - of JSONL, of pipes and of compressed files the beginning is read, up to the last whole line;
//   - a directory is all its files, those of its folders too, in the order of their paths; hidden and binary files are
//     passed over.
// A line of JSONL that cannot be used is skipped, counted and named, or with `strict` Error(kBadInput).
SourceFacts read_documents(const CalibrationSource& source, const ReadingOptions& options, const DocumentTaker& taker);

// A line of JSONL: "messages" or "conversations" (OpenAI's and ShareGPT's members), "text", or "input_ids".
Document parse_jsonl_line(std::string_view line, const std::string& where);

}  // namespace hesse
