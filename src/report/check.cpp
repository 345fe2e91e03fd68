// Findings and facts of `check` as JSON.
#include "io/json.h"
#include "report/facts.h"
#include "report/report.h"

namespace hesse {
namespace {

Json special_token_json(const SpecialTokenFacts& token) {
  return Json::Object{{"name", text(token.name)},
                      {"used", list(token.used)},
                      {"config", list(token.config)},
                      {"generation_config", list(token.generation)},
                      {"tokenizer", token.tokenizer >= 0 ? Json(token.tokenizer) : Json()},
                      {"content", text(token.content)}};
}

Json file_json(const InputFile& file) {
  return Json::Object{{"name", text(file.name)}, {"bytes", file.bytes}, {"sha256", text(file.sha256)}};
}

Json trial_json(const TrialFacts& trial) {
  return Json::Object{{"text", text(trial.text)},
                      {"predictions", trial.predictions},
                      {"nll", trial.nll},
                      {"nll_with_bos", measured(trial.nll_bos)},
                      {"uniform_nll", trial.uniform},
                      {"seconds", trial.seconds}};
}

Json plan_json(const PlanFacts& plan) {
  const auto memory = [](const PhaseMemoryFacts& phase) {
    return Json::Object{{"phase", text(phase.phase)}, {"where", text(phase.where)}, {"bytes", phase.bytes}};
  };
  const auto seconds = [](const PhaseTime& phase) {
    return Json::Object{{"phase", text(phase.name)}, {"seconds", phase.seconds}};
  };
  const auto group_size = [](const GroupSizeFacts& linear) {
    const auto size = [](const GroupSizeFacts::Size& s) {
      return Json::Object{{"group_size", s.group_size}, {"fit", text(s.fit)}};
    };
    return Json::Object{{"linear", text(linear.linear)},
                        {"out", linear.out},
                        {"in", linear.in},
                        {"count", linear.count},
                        {"sizes", list_of(linear.sizes, size)}};
  };
  const auto loader = [](const LoaderFacts& row) {
    return Json::Object{{"engine", text(row.engine)}, {"kernel", text(row.kernel)}, {"devices", row.devices},
                        {"loads", text(row.verdict)}, {"why", text(row.why)},       {"source", text(row.source)},
                        {"read_on", text(row.date)}};
  };
  return Json::Object{{"parameters", plan.parameters},
                      {"layers", plan.layers},
                      {"peak_memory_bytes", plan.peak_memory_bytes},
                      {"available_memory_bytes", plan.available_memory_bytes},
                      {"memory", list_of(plan.memory, memory)},
                      {"result_bytes", plan.result_bytes},
                      {"work_bytes", plan.work_bytes},
                      {"free_disk_bytes", plan.free_disk_bytes},
                      {"seconds", measured(plan.seconds)},
                      {"phases", list_of(plan.phases, seconds)},
                      {"layer_seconds", list_of(plan.layer_seconds, [](double s) { return Json(s); })},
                      {"group_sizes", list_of(plan.group_sizes, group_size)},
                      {"loaders", list_of(plan.loaders, loader)}};
}

}  // namespace

std::string to_json(const CheckResult& result) {
  Json counts = Json::object();
  for (const Severity severity : {Severity::kError, Severity::kWarning, Severity::kNote, Severity::kGood}) {
    counts.set(severity_name(severity), result.count(severity));
  }
  const Json root = Json::Object{{"schema", "hesse-check/1"},
                                 {"version", text(result.version)},
                                 {"model", text(result.model_name)},
                                 {"family", result.family.empty() ? Json() : text(result.family)},
                                 {"worst", text(severity_name(result.worst()))},
                                 {"counts", std::move(counts)},
                                 {"findings", list_of(result.findings, finding_json)},
                                 {"special_tokens", list_of(result.special_tokens, special_token_json)},
                                 {"calibration", result.calibration ? calibration_json(*result.calibration) : Json()},
                                 {"trial", result.trial ? trial_json(*result.trial) : Json()},
                                 {"plan", result.plan ? plan_json(*result.plan) : Json()},
                                 {"files", list_of(result.files, file_json)},
                                 {"seconds", result.seconds}};
  return root.dump(2);
}

}  // namespace hesse
