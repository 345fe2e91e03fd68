// Records of results: read, judged, and made into a page.
#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/prepare.h"
#include "api/problems.h"
#include "hesse/api.h"
#include "io/file.h"
#include "report/diagnosis.h"
#include "report/page.h"
#include "report/report.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

fs::path record_path(const std::string& result) {
  return fs::is_directory(result) ? fs::path(result) / kRecordFile : fs::path(result);
}

// Of several results where the call is made, of one beside its record.
fs::path page_path(const ReportOptions& options) {
  if (!options.output.empty()) return options.output;
  if (!options.others.empty()) return kPageFile;
  return record_path(options.model).parent_path() / kPageFile;
}

// What is replaced is a page, not a file that was named by mistake.
void require_page(const fs::path& path) {
  constexpr std::string_view kBeginning = "<!DOCTYPE html>";
  if (fs::is_regular_file(path) && read_text_file(path).starts_with(kBeginning)) return;
  throw Error(ErrorKind::kUsage,
              fmt::format("[report] {}: exists and is no page; name another file with -o", path.string()));
}

std::string name_of(const fs::path& record) {
  const fs::path folder = fs::weakly_canonical(record).parent_path();
  return record.filename() == kRecordFile ? folder.filename().string() : record.filename().string();
}

// Of the result that `record` belongs to.
std::optional<EvalResult> read_evaluation(const std::string& path, const fs::path& record) {
  if (path.empty()) return std::nullopt;
  return evaluation_of(evaluation_from_json(read_text_file(path), path), name_of(record));
}

}  // namespace

RunRecord read_record(const std::string& result) {
  const fs::path path = record_path(result);
  return record_from_json(read_text_file(path), path.string());
}

DiagnosisResult diagnose(const DiagnoseOptions& options) {
  require_no_problems(options);
  const RunRecord record = read_record(options.model);
  const std::optional<EvalResult> evaluation = read_evaluation(options.eval, record_path(options.model));
  return {.version = version(),
          .model_name = record.model_name,
          .symptoms = diagnose(record, evaluation ? &*evaluation : nullptr)};
}

ReportResult report(const ReportOptions& options) {
  require_no_problems(options);
  std::vector<std::string> results{options.model};
  results.insert(results.end(), options.others.begin(), options.others.end());
  std::vector<PageRun> runs;
  for (size_t i = 0; i < results.size(); ++i) {
    const fs::path path = record_path(results[i]);
    std::string text = read_text_file(path);
    runs.push_back({.name = name_of(path),
                    .record = record_from_json(text, path.string()),
                    .evaluation = options.eval.empty() ? std::nullopt : read_evaluation(options.eval[i], path),
                    .record_json = std::move(text)});
  }
  const std::string page = page_of(runs);
  const fs::path path = page_path(options);
  if (fs::exists(path)) {
    require_page(path);
    remove_file(path);
  }
  write_text_file(path, page);
  return {.path = path.string(), .bytes = static_cast<int64_t>(page.size()), .runs = static_cast<int64_t>(runs.size())};
}

}  // namespace hesse
