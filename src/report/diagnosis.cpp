#include "report/diagnosis.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/facts.h"
#include "report/report.h"

namespace hesse {

std::string kind_of(const LinearRecord& linear) {
  const std::string number = fmt::format(".{}.", linear.layer);
  const size_t at = linear.name.find(number);
  return at == std::string::npos ? linear.name
                                 : linear.name.substr(0, at) + ".*." + linear.name.substr(at + number.size());
}

Patient::Patient(const RunRecord& run, const EvalResult* evaluated) : record(run), evaluation(evaluated) {
  for (const LinearRecord& linear : run.linears) {
    if (linear.expert < 0) kinds[kind_of(linear)].push_back(&linear);
  }
  for (auto& [kind, linears] : kinds) {
    std::stable_sort(linears.begin(), linears.end(),
                     [](const LinearRecord* a, const LinearRecord* b) { return a->layer < b->layer; });
  }
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

// THE TABLE of rules. What makes a result useless stands before what makes it worse.
std::vector<RuleRow> diagnosis_rules() {
  return {{"nonfinite-weights", judge_skipped},
          {"tokenizer", judge_tokenizer},
          {"weight-scale", judge_weight_scale},
          {"repeated-text", judge_repetition},
          {"foreign-text", judge_text},
          {"not-solved", judge_unsolved},
          {"nonfinite-activations", judge_activations},
          {"near-overflow", judge_overflow},
          {"perplexity", judge_perplexity},
          {"other-text", judge_other_text},
          {"costly-blocks", judge_blocks_of_kl},
          {"early-loss", judge_early_loss},
          {"loss-jump", judge_jumps},
          {"outlier-channel", judge_outliers},
          {"starving-experts", judge_experts},
          {"few-tokens", judge_few_tokens},
          {"held-out-loss", judge_held_out},
          {"damping", judge_damping},
          {"block-diagonal", judge_blocks},
          {"dead-channels", judge_channels},
          {"loss-growth", judge_growth}};
}

std::vector<Symptom> diagnose(const RunRecord& record, const EvalResult* evaluation) {
  const Patient patient(record, evaluation);
  std::vector<Symptom> symptoms;
  for (const RuleRow& row : diagnosis_rules()) {
    Verdict verdict = row.judge(patient);
    if (verdict.evidence.empty()) continue;
    symptoms.push_back({verdict.severity, std::string(row.name), std::move(verdict.place), std::move(verdict.evidence),
                        std::move(verdict.advice)});
  }
  std::stable_sort(symptoms.begin(), symptoms.end(),
                   [](const Symptom& a, const Symptom& b) { return a.severity > b.severity; });
  return symptoms;
}

Severity DiagnosisResult::worst() const {
  Severity worst = Severity::kGood;
  for (const Symptom& symptom : symptoms) worst = std::max(worst, symptom.severity);
  return worst;
}

std::string to_json(const DiagnosisResult& result) {
  Json symptoms = Json::array();
  for (const Symptom& symptom : result.symptoms) {
    symptoms.push_back(Json::Object{{"severity", text(severity_name(symptom.severity))},
                                    {"rule", text(symptom.rule)},
                                    {"place", text(symptom.place)},
                                    {"evidence", text(symptom.evidence)},
                                    {"advice", text(symptom.advice)}});
  }
  return Json(Json::Object{{"schema", "hesse-diagnosis/1"},
                           {"version", text(result.version)},
                           {"model", text(result.model_name)},
                           {"worst", text(severity_name(result.worst()))},
                           {"symptoms", std::move(symptoms)}})
      .dump(2);
}

std::string to_json(const ReportResult& result) {
  return Json(Json::Object{{"schema", "hesse-report/1"},
                           {"path", text(result.path)},
                           {"bytes", result.bytes},
                           {"runs", result.runs}})
      .dump(2);
}

}  // namespace hesse
