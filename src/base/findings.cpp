#include "base/findings.h"

#include <algorithm>

namespace hesse {

std::string_view severity_name(Severity severity) {
  switch (severity) {
    case Severity::kGood:
      return "good";
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "unknown";
}

Severity CheckResult::worst() const {
  Severity worst = Severity::kGood;
  for (const Finding& finding : findings) worst = std::max(worst, finding.severity);
  return worst;
}

int64_t CheckResult::count(Severity severity) const {
  return std::count_if(findings.begin(), findings.end(),
                       [&](const Finding& finding) { return finding.severity == severity; });
}

void Findings::note(std::string check, std::string what, std::string why, std::string remedy) {
  add({Severity::kNote, std::move(check), std::move(what), std::move(why), std::move(remedy)});
}

void Findings::warning(std::string check, std::string what, std::string why, std::string remedy) {
  add({Severity::kWarning, std::move(check), std::move(what), std::move(why), std::move(remedy)});
}

void Findings::error(const Error& error, const Advice& advice) {
  errors_.push_back(error);
  list_.push_back({Severity::kError, advice.check, error.what(), advice.why, advice.remedy});
}

void Findings::add(Finding finding) {
  if (finding.severity == Severity::kError) errors_.emplace_back(ErrorKind::kBadInput, finding.what);
  list_.push_back(std::move(finding));
}

void Findings::throw_if_error() const {
  if (errors_.empty()) return;
  const Error& first = errors_.front();
  const size_t more = errors_.size() - 1;
  if (more == 0) throw first;
  throw Error(first.kind(), std::string(first.what()) + " (and " + std::to_string(more) + " more error" +
                                (more == 1 ? "" : "s") + "; `hesse check` tells all)");
}

std::vector<Finding> Findings::worst_first() const {
  std::vector<Finding> sorted = list_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return sorted;
}

}  // namespace hesse
