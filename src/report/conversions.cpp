#include <algorithm>

#include "report/facts.h"
#include "report/report.h"

namespace hesse {

bool VerifyResult::sound() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const Finding& finding) { return finding.severity == Severity::kError; });
}

std::string to_json(const ConvertResult& result) {
  const Json root = Json::Object{{"schema", "hesse-convert/1"}, {"from", text(result.from)}, {"to", text(result.to)},
                                 {"linears", result.linears},   {"exact", result.exact},     {"bytes", result.bytes},
                                 {"seconds", result.seconds}};
  return root.dump(2);
}

std::string to_json(const VerifyResult& result) {
  const Json root = Json::Object{{"schema", "hesse-verify/1"},
                                 {"format", text(result.format)},
                                 {"sound", result.sound()},
                                 {"linears", result.linears},
                                 {"findings", list_of(result.findings, finding_json)},
                                 {"seconds", result.seconds}};
  return root.dump(2);
}

}  // namespace hesse
