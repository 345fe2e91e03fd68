#include "cli/findings_text.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "cli/text.h"

namespace hesse {
namespace {

constexpr int kIndent = 9;
constexpr int kWidth = 100;
constexpr size_t kMostScripts = 4;

std::string paragraph(std::string_view word, std::string_view text) {
  return fmt::format("{:<{}}{}\n", word, kIndent, wrap(text, kIndent, kWidth));
}

// Control characters as a terminal cannot act on them.
std::string visible(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
    }
  }
  return out;
}

// "12 of 3 to 3, 5 of 4 to 7".
std::string lengths_text(const std::vector<LengthBucket>& lengths) {
  std::vector<std::string> parts;
  for (const LengthBucket& bucket : lengths) {
    const std::string range =
        bucket.from == bucket.to ? fmt::format("{}", bucket.from) : fmt::format("{} to {}", bucket.from, bucket.to);
    parts.push_back(fmt::format("{} of {}", bucket.count, range));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

// What was read of a source, then what of it is used and how it begins.
std::string source_text(const TextFacts& source) {
  std::vector<std::string> read = {fmt::format("{} of {}", format_bytes(source.bytes), source.kind)};
  if (source.kind == "random") read = {"random tokens"};
  if (source.documents > 0) read.push_back(counted(source.documents, "document"));
  if (source.duplicates > 0) read.push_back(counted(source.duplicates, "duplicate"));
  if (source.skipped > 0) read.push_back(counted(source.skipped, "skipped line"));
  read.push_back(counted(source.tokens, "token"));
  std::string text = fmt::format("  {}: {}\n", source.name, fmt::join(read, ", "));
  text += fact("    used", fmt::format("{}, weight {}", counted(source.windows, "window"), source.weight));
  if (!source.lengths.empty()) text += fact("    documents", lengths_text(source.lengths) + " tokens");
  if (!source.sha256.empty()) text += fact("    SHA-256", source.sha256);
  return source.first_text.empty() ? text : text + fact("    begins", visible(source.first_text));
}

}  // namespace

std::string finding_text(const Finding& finding) {
  std::string text = paragraph(severity_name(finding.severity), fmt::format("{}  ({})", finding.what, finding.check));
  if (!finding.why.empty()) text += paragraph("  why", finding.why);
  if (!finding.remedy.empty()) text += paragraph("  to do", finding.remedy);
  return text;
}

std::string calibration_text(const CalibrationFacts& facts) {
  std::vector<std::string> scripts;
  for (const ScriptShare& script : facts.scripts) {
    scripts.push_back(fmt::format("{} {}", script.name, format_percent(script.share)));
  }
  std::string text = "\ncalibration\n";
  for (const TextFacts& source : facts.files) text += source_text(source);
  text += fact("  windows", fmt::format("{}: {} tokens, {} tokens of text", facts.sequences, facts.tokens,
                                        lengths_text(facts.lengths)));
  text += fact("  vocabulary", fmt::format("{} different tokens, {} of it", facts.distinct_tokens,
                                           format_percent(facts.vocabulary_share)));
  text += fact("  scripts", format_list(scripts, kMostScripts));
  text += fact("  repeated", fmt::format("{} of the tokens, {}", format_percent(facts.repeated),
                                         counted(facts.duplicate_sequences, "window") + " twice"));
  text += fact("  padding", format_percent(facts.padding));
  if (facts.overlap >= 0) text += fact("  overlap", format_percent(facts.overlap) + " of the evaluation text");
  return text;
}

}  // namespace hesse
