#include "report/facts.h"

#include "report/report.h"

namespace hesse {
namespace {

Json bucket_json(const LengthBucket& bucket) {
  return Json::Object{{"from", bucket.from}, {"to", bucket.to}, {"sequences", bucket.count}};
}

}  // namespace

Json script_json(const ScriptShare& script) {
  return Json::Object{{"script", text(script.name)}, {"share", script.share}};
}

Json finding_json(const Finding& finding) {
  return Json::Object{{"severity", text(severity_name(finding.severity))},
                      {"check", text(finding.check)},
                      {"what", text(finding.what)},
                      {"why", text(finding.why)},
                      {"remedy", text(finding.remedy)}};
}

Json source_json(const TextFacts& source) {
  return Json::Object{{"name", text(source.name)},
                      {"kind", text(source.kind)},
                      {"weight", source.weight},
                      {"bytes", source.bytes},
                      {"sha256", source.sha256.empty() ? Json() : text(source.sha256)},
                      {"documents", source.documents},
                      {"duplicates", source.duplicates},
                      {"skipped", source.skipped},
                      {"tokens", source.tokens},
                      {"windows", source.windows}};
}

Json shown_source_json(const TextFacts& source) {
  Json json = source_json(source);
  json.set("lengths", list_of(source.lengths, bucket_json));
  json.set("first_text", text(source.first_text));
  return json;
}

Json calibration_json(const CalibrationFacts& facts) {
  return Json::Object{{"files", list_of(facts.files, shown_source_json)},
                      {"sequences", facts.sequences},
                      {"tokens", facts.tokens},
                      {"widest_input", facts.widest > 0 ? Json(facts.widest) : Json()},
                      {"lengths", list_of(facts.lengths, bucket_json)},
                      {"duplicate_sequences", facts.duplicate_sequences},
                      {"repeated", facts.repeated},
                      {"padding", facts.padding},
                      {"unknown", facts.unknown},
                      {"distinct_tokens", facts.distinct_tokens},
                      {"vocabulary_share", facts.vocabulary_share},
                      {"scripts", list_of(facts.scripts, script_json)},
                      {"overlap", measured(facts.overlap)},
                      {"first_ids", list(facts.first_ids)},
                      {"first_text", text(facts.first_text)}};
}

std::string to_json(const DataResult& result) {
  const Json root = Json::Object{{"schema", "hesse-data/1"},
                                 {"version", text(result.version)},
                                 {"model", text(result.model_name)},
                                 {"begins_with_bos", result.begins_with_bos},
                                 {"findings", list_of(result.findings, finding_json)},
                                 {"calibration", calibration_json(result.calibration)},
                                 {"seconds", result.seconds}};
  return root.dump(2);
}

}  // namespace hesse
