// What a record says about its result. Pure: a record in, sentences out.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "hesse/evaluation.h"
#include "hesse/events.h"
#include "hesse/types.h"

namespace hesse {

// A record with what several rules look for.
struct Patient {
  Patient(const RunRecord& run, const EvalResult* evaluated);

  const RunRecord& record;
  const EvalResult* evaluation;  // null: none
  // Linears that play the same part in their layers, in the order of the layers; those of experts left out.
  std::map<std::string, std::vector<const LinearRecord*>> kinds;
};

// "model.layers.*.mlp.up_proj".
std::string kind_of(const LinearRecord& linear);

// What a rule says; an empty `evidence` says nothing.
struct Verdict {
  Severity severity = Severity::kGood;
  std::string place;
  std::string evidence;
  std::string advice;
};
using Rule = Verdict (*)(const Patient&);

// In diagnosis_run.cpp: of the text and the whole run.
Verdict judge_tokenizer(const Patient& patient);
Verdict judge_repetition(const Patient& patient);
Verdict judge_text(const Patient& patient);
Verdict judge_held_out(const Patient& patient);
Verdict judge_experts(const Patient& patient);
// In diagnosis_evaluation.cpp: of what an evaluation says.
Verdict judge_perplexity(const Patient& patient);
Verdict judge_other_text(const Patient& patient);
Verdict judge_blocks_of_kl(const Patient& patient);
// In diagnosis_linears.cpp: of single linears.
Verdict judge_skipped(const Patient& patient);
Verdict judge_unsolved(const Patient& patient);
Verdict judge_weight_scale(const Patient& patient);
Verdict judge_activations(const Patient& patient);
Verdict judge_overflow(const Patient& patient);
Verdict judge_early_loss(const Patient& patient);
Verdict judge_jumps(const Patient& patient);
Verdict judge_outliers(const Patient& patient);
Verdict judge_few_tokens(const Patient& patient);
Verdict judge_damping(const Patient& patient);
Verdict judge_channels(const Patient& patient);
Verdict judge_blocks(const Patient& patient);
Verdict judge_growth(const Patient& patient);

// One row for each rule, gravest first.
struct RuleRow {
  std::string_view name;
  Rule judge;
};
std::vector<RuleRow> diagnosis_rules();

std::vector<Symptom> diagnose(const RunRecord& record, const EvalResult* evaluation);  // of hesse/api.h
// What `hesse eval --json` says, as far as a diagnosis and a page need it.
EvalResult evaluation_from_json(std::string_view text, const std::string& where);
// Of one model the evaluation; of several that of the model `name`, Error(kUsage) when there is none.
EvalResult evaluation_of(EvalResult result, const std::string& name);

double median(std::vector<double> values);  // 0 of none

}  // namespace hesse
