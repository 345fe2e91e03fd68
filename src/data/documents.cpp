#include "data/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "base/sha256.h"
#include "hesse/error.h"
#include "io/decompress.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlock = 1 << 16;
constexpr size_t kMostLine = 16 << 20;  // bytes of a line of JSONL
constexpr size_t kMostNotes = 3;        // skipped lines that are told one by one

// What the name says: the ending, without that of a compression.
std::string ending_of(fs::path path) {
  const auto lower = [](std::string text) {
    for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return text;
  };
  std::string ending = lower(path.extension().string());
  if (ending == ".gz" || ending == ".zst" || ending == ".zstd") ending = lower(path.stem().extension().string());
  return ending;
}

bool is_jsonl(const fs::path& path) {
  const std::string ending = ending_of(path);
  return ending == ".jsonl" || ending == ".ndjson";
}

bool is_binary(std::string_view head) { return head.find('\0') != std::string_view::npos; }

// Formats that look like data and that cannot be read, with the way out.
void refuse_foreign(const fs::path& path, std::string_view head) {
  const std::string name = path.filename().string();
  if (head.starts_with("PAR1") || ending_of(path) == ".parquet") {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[calibration] {}: parquet cannot be read; convert it: python3 -c \"import pandas; "
                            "pandas.read_parquet('{}').to_json('{}.jsonl', orient='records', lines=True)\"",
                            name, name, path.stem().string()));
  }
  const size_t first = head.find_first_not_of(" \t\r\n");
  if (ending_of(path) == ".json" && first != std::string_view::npos) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[calibration] {}: one JSON value for the whole file; convert it to one document a line: "
                            "jq -c '.[]' {} > {}.jsonl",
                            name, name, path.stem().string()));
  }
}

class SourceReader {
 public:
  SourceReader(const CalibrationSource& source, const ReadingOptions& options, const DocumentTaker& taker)
      : source_(source), options_(options), taker_(taker), left_(options.most_bytes) {
    result_.facts.name = source.name();
    result_.facts.weight = source.weight;
  }

  SourceFacts read() {
    if (source_.builtin()) {
      read_builtin();
    } else if (std::error_code unknown; fs::is_directory(source_.path, unknown)) {
      read_directory();
    } else {
      result_.facts.kind = is_jsonl(source_.path) ? "jsonl" : "text";
      read_file(source_.path, result_.facts.name, false);
    }
    result_.facts.sha256 = hash_.hex();
    if (result_.facts.skipped > static_cast<int64_t>(kMostNotes)) {
      result_.skipped.push_back(
          fmt::format("{}: {} lines were skipped in all", result_.facts.name, result_.facts.skipped));
    }
    return std::move(result_);
  }

 private:
  void read_builtin() {
    const BuiltinText* text = find_builtin(source_.path.substr(source_.path.find(':') + 1));
    if (text == nullptr) throw Error(ErrorKind::kUsage, "[calibration] " + problem_of_source(source_.path));
    result_.facts.kind = "built-in";
    if (!text->jsonl) return take_text(std::string(text->text), result_.facts.name);
    size_t at = 0;
    read_lines(result_.facts.name, [&](std::string& block) {
      block.assign(text->text.substr(at, kBlock));
      at += block.size();
      return !block.empty();
    });
  }

  void read_directory() {
    result_.facts.kind = "directory";
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(source_.path, error), end; !error && entry != end;
         entry.increment(error)) {
      const bool hidden = entry->path().filename().string().starts_with('.');
      std::error_code unknown;  // a link that leads nowhere is passed over
      if (hidden && entry->is_directory(unknown)) entry.disable_recursion_pending();
      if (!hidden && entry->is_regular_file(unknown)) files.push_back(entry->path());
    }
    if (error) {
      throw Error(ErrorKind::kEnvironment,
                  fmt::format("[calibration] {}: cannot be listed: {}", source_.path, error.message()));
    }
    std::sort(files.begin(), files.end());
    int64_t binary = 0;
    for (const fs::path& file : files) {
      if (left_ <= 0) break;
      if (!read_file(file, fs::relative(file, source_.path).string(), true)) ++binary;
    }
    if (binary > 0) {
      result_.parts.push_back(
          fmt::format("{}: {} files that are no text were passed over", result_.facts.name, binary));
    }
    if (files.empty()) {
      throw Error(ErrorKind::kBadInput, fmt::format("[calibration] {}: no file in this directory", source_.path));
    }
  }

  // False: a binary file, where those are passed over.
  bool read_file(const fs::path& path, const std::string& name, bool pass_over_binary) {
    ByteStream stream(path);
    std::string head(kBlock, '\0');
    head.resize(stream.read(head.data(), head.size()));
    if (pass_over_binary && (is_binary(head) || ending_of(path) == ".json")) return false;
    refuse_foreign(path, head);
    if (is_jsonl(path)) {
      read_lines(name, [&](std::string& block) {
        if (head.empty()) {
          block.resize(kBlock);
          block.resize(stream.read(block.data(), block.size()));
        } else {
          block.swap(head);
          head.clear();
        }
        return !block.empty();
      });
      return true;
    }
    const bool has_size = !stream.compressed() && fs::is_regular_file(path);
    if (has_size && static_cast<int64_t>(fs::file_size(path)) > left_) {
      read_pieces(path, name);
    } else {
      read_text(stream, std::move(head), name);
    }
    return true;
  }

  // The beginning of a stream, as one document.
  void read_text(ByteStream& stream, std::string text, const std::string& name) {
    const size_t most = static_cast<size_t>(left_);
    while (text.size() <= most) {
      const size_t before = text.size();
      text.resize(before + std::min(most + 1 - before, kBlock * 16));
      const size_t count = stream.read(text.data() + before, text.size() - before);
      text.resize(before + count);
      if (count == 0) break;
    }
    if (text.size() > most) {
      cut_behind_line(text, most);
      note_part(name, fmt::format("its first {} bytes", text.size()));
    }
    take_text(std::move(text), name);
  }

  // Pieces of one size at even distances, the first at the beginning of the file.
  void read_pieces(const fs::path& path, const std::string& name) {
    const MappedFile file(path);
    const int64_t pieces = std::max<int64_t>(1, options_.most_pieces), size = left_ / pieces;
    const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
    int64_t used = 0;
    for (int64_t i = 0; i < pieces; ++i) {
      int64_t begin = (file.size() - size) / std::max<int64_t>(1, pieces - 1) * i;
      const int64_t end = begin + size;
      if (begin > 0) begin = behind_line(bytes, begin, end);
      std::string text(bytes.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
      if (end < file.size()) cut_behind_line(text, text.size());
      file.dont_need(begin, size);
      if (text.empty()) continue;
      used += static_cast<int64_t>(text.size());
      take_text(std::move(text), name);
    }
    note_part(name, fmt::format("{} bytes of it in {} pieces at even distances", used, pieces));
  }

  void note_part(const std::string& name, const std::string& part) {
    result_.parts.push_back(fmt::format("{} is larger than what calibration looks at: {} are used", name, part));
  }

  // The offset behind the first line break in [begin, end); without one, of the first whole character.
  static int64_t behind_line(std::string_view bytes, int64_t begin, int64_t end) {
    const size_t line = bytes.substr(0, static_cast<size_t>(end)).find('\n', static_cast<size_t>(begin));
    if (line != std::string_view::npos) return static_cast<int64_t>(line) + 1;
    while (begin < end && (static_cast<unsigned char>(bytes[static_cast<size_t>(begin)]) & 0xC0) == 0x80) ++begin;
    return begin;
  }

  // Keeps at most `most` bytes: up to the last line break, else up to the last whole character.
  static void cut_behind_line(std::string& text, size_t most) {
    text.resize(std::min(most, text.size()));
    if (const size_t line = text.rfind('\n'); line != std::string::npos) return text.resize(line + 1);
    size_t last = text.size();
    while (last > 0 && (static_cast<unsigned char>(text[last - 1]) & 0xC0) == 0x80) --last;
    if (last > 0 && static_cast<unsigned char>(text[last - 1]) >= 0xC0) text.resize(last - 1);
  }

  void take_text(std::string text, const std::string& name) {
    count(text);
    Document document;
    document.text = std::move(text);
    document.where = name;
    ++result_.facts.documents;
    taker_.prepare(document);
    taker_.take(document);
  }

  // Calls next(block) until it gives no more, and takes every whole line within the limit.
  template <class Next>
  void read_lines(const std::string& name, Next next) {
    std::string block, rest;
    int64_t number = 0;
    bool more = true;
    while (more && left_ > 0) {
      more = next(block);
      if (!more && rest.empty()) return;
      rest += more ? block : "\n";  // the last line may have no line break
      size_t begin = 0;
      for (size_t end; left_ > 0 && (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1) {
        const bool own_break = !more && end + 1 == rest.size();
        count(std::string_view(rest).substr(begin, end - begin + (own_break ? 0 : 1)));
        take_line(std::string_view(rest).substr(begin, end - begin), name, ++number);
      }
      rest.erase(0, begin);
      if (rest.size() > kMostLine) {
        throw Error(ErrorKind::kBadInput, fmt::format("[calibration] {}: line {} has more than {} bytes; not JSONL?",
                                                      name, number + 1, kMostLine));
      }
    }
    if (more) note_part(name, fmt::format("its first {} lines", number));
  }

  void take_line(std::string_view line, const std::string& name, int64_t number) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    ++result_.facts.documents;
    std::optional<Document> document;
    const std::string where = fmt::format("{}: line {}", name, number);
    attempt_line([&] { document = parse_jsonl_line(line, where); });
    if (!document) return;
    taker_.prepare(*document);
    attempt_line([&] { taker_.take(*document); });
  }

  // What is wrong with one line is counted, or fatal.
  template <class Body>
  void attempt_line(Body body) {
    try {
      body();
    } catch (const Error& error) {
      if (options_.strict || error.kind() != ErrorKind::kBadInput) throw;
      --result_.facts.documents;
      ++result_.facts.skipped;
      if (result_.facts.skipped <= static_cast<int64_t>(kMostNotes)) {
        result_.skipped.push_back(fmt::format("{}; the line is skipped (--strict stops at it)", error.what()));
      }
    }
  }

  void count(std::string_view bytes) {
    hash_.update(bytes.data(), bytes.size());
    result_.facts.bytes += static_cast<int64_t>(bytes.size());
    left_ -= static_cast<int64_t>(bytes.size());
  }

  const CalibrationSource& source_;
  const ReadingOptions& options_;
  const DocumentTaker& taker_;
  int64_t left_;  // bytes that may still be read
  Sha256 hash_;
  SourceFacts result_;
};

}  // namespace

SourceFacts read_documents(const CalibrationSource& source, const ReadingOptions& options, const DocumentTaker& taker) {
  return SourceReader(source, options, taker).read();
}

}  // namespace hesse
