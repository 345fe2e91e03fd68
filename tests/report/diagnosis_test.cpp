// Every rule of the diagnosis: a record with one fault is named by it alone, and a healthy one by none.
#include "report/diagnosis.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "hesse/error.h"
#include "io/json.h"
#include "report/report.h"

namespace hesse {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// Numbers as those of the demo model.
RunRecord healthy() {
  RunRecord r;
  r.model_name = "tiny";
  r.options.bits = 4;
  r.calibration_sequences = 128;
  r.calibration_tokens = 65536;
  r.calibration = CalibrationFacts{};
  r.calibration->sequences = 128;
  r.calibration->tokens = 65536;
  r.calibration->distinct_tokens = 3900;
  r.calibration->vocabulary_share = 0.95;
  r.tokenizer_trial = TrialFacts{.text = "calibration", .predictions = 255, .nll = 3.4, .uniform = 8.3};
  for (int64_t layer = 0; layer < 6; ++layer) {
    for (const char* name : {"self_attn.q_proj", "mlp.up_proj", "mlp.down_proj"}) {
      LinearRecord l;
      l.name = fmt::format("model.layers.{}.{}", layer, name);
      l.layer = layer;
      l.out = l.in = 768;
      l.bits = 4;
      l.loss = 10.0 * static_cast<double>(layer + 1);
      l.relative_error = 0.002 * (layer % 2 == 0 ? 1 : 1.8);
      l.rtn_relative_error = 0.01;
      l.fit_error = 0.002;
      l.held_out_error = 0.0022;
      l.damping = 0.01;
      l.factorizations = 1;
      l.tokens = 65536;
      l.effective_rank = 600;
      l.condition = 100;
      l.peak_diagonal = 18;
      l.largest_activation = 20;
      l.largest_output = 40;
      l.weight_rms = 0.2 * (layer == 0 ? 0.5 : 1);
      r.linears.push_back(l);
    }
  }
  return r;
}

EvalResult evaluated(double perplexity) {
  EvalResult e;
  e.perplexity = perplexity;
  e.against = AgainstResult{.perplexity = 30, .kl = 0.01, .top1_agreement = 0.95};
  return e;
}

// Row 9 + part of `healthy` is in layer 3.
constexpr size_t kQuery = 9, kUp = 10, kDown = 11;

void make_experts(RunRecord& r, int64_t starved) {
  for (int64_t expert = 0; expert < 4; ++expert) {
    LinearRecord l = r.linears.front();
    l.name = fmt::format("model.layers.0.mlp.experts.{}.up_proj", expert);
    l.expert = expert;
    l.tokens = expert == 2 ? starved : 30000;
    r.linears.push_back(l);
  }
}

struct Case {
  const char* rule;
  Severity severity;
  const char* place;
  const char* evidence;
  std::function<void(RunRecord&)> plant;
};

const Case kCases[] = {
    {"nonfinite-weights", Severity::kError, "model.layers.3.mlp.up_proj", "1 of 18 linears",
     [](RunRecord& r) { r.linears[kUp].status = LinearStatus::kSkipped; }},
    {"tokenizer", Severity::kError, "tokenizer",
     "8.2 nats a token on calibration text, where knowing nothing gives 8.3",
     [](RunRecord& r) { r.tokenizer_trial->nll = 8.2; }},
    {"weight-scale", Severity::kWarning, "layer 3", "8 times as large",
     [](RunRecord& r) {
       for (size_t i = kQuery; i <= kDown; ++i) r.linears[i].weight_rms *= 8;
     }},
    {"weight-scale", Severity::kWarning, "model.layers.3.mlp.up_proj", "8 times as large",
     [](RunRecord& r) { r.linears[kUp].weight_rms *= 8; }},
    {"repeated-text", Severity::kWarning, "calibration",
     "3 different tokens in 65536, 99 % of the text stands there before",
     [](RunRecord& r) { r.calibration->distinct_tokens = 3, r.calibration->repeated = 0.99; }},
    {"repeated-text", Severity::kWarning, "calibration", "less than 1.3 % of the inputs' directions",
     [](RunRecord& r) {
       r.calibration.reset();
       for (LinearRecord& l : r.linears) l.effective_rank = 10;
     }},
    {"foreign-text", Severity::kWarning, "calibration", "2 % of the tokens stand for text",
     [](RunRecord& r) { r.calibration->unknown = 0.02; }},
    {"not-solved", Severity::kWarning, "model.layers.3.mlp.up_proj", "1 of 18 linears were rounded",
     [](RunRecord& r) { r.linears[kUp].status = LinearStatus::kFallback; }},
    {"nonfinite-activations", Severity::kWarning, "model.layers.3.mlp.up_proj", "here 5 of 65541",
     [](RunRecord& r) { r.linears[kUp].tokens_left_out = 5; }},
    {"near-overflow", Severity::kWarning, "model.layers.3.mlp.down_proj", "values reach 5e+04",
     [](RunRecord& r) { r.linears[kDown].largest_output = 5e4; }},
    {"early-loss", Severity::kWarning, "model.layers.1.self_attn.q_proj", "a loss of 20 in layer 1",
     [](RunRecord& r) {
       for (LinearRecord& l : r.linears) l.relative_error *= 25;
     }},
    {"loss-jump", Severity::kWarning, "model.layers.3.mlp.up_proj", "loses 3 % of its output, its neighbours 0.2 %",
     [](RunRecord& r) {
       for (LinearRecord& l : r.linears) l.relative_error = 0.002;
       r.linears[kUp].relative_error = 0.03;
     }},
    {"outlier-channel", Severity::kWarning, "model.layers.3.self_attn.q_proj", "carries 91.1 % of all input energy",
     [](RunRecord& r) { r.linears[kQuery].peak_diagonal = 700; }},
    {"outlier-channel", Severity::kNote, "model.layers.3.mlp.down_proj", "usual for an MLP's output",
     [](RunRecord& r) { r.linears[kDown].peak_diagonal = 700; }},
    {"starving-experts", Severity::kWarning, "layer 0, expert 2", "1 of 4 experts got less than a tenth",
     [](RunRecord& r) { make_experts(r, 100); }},
    {"few-tokens", Severity::kWarning, "model.layers.3.mlp.up_proj", "here 700 for 768",
     [](RunRecord& r) { r.linears[kUp].tokens = 700; }},
    {"held-out-loss", Severity::kWarning, "model.layers.0.self_attn.q_proj", "18 of 18 linears lose over 1.5 times",
     [](RunRecord& r) {
       for (LinearRecord& l : r.linears) l.held_out_error = 0.004;
     }},
    {"held-out-loss", Severity::kNote, "model.layers.3.mlp.up_proj", "1 of 18 linears",
     [](RunRecord& r) { r.linears[kUp].held_out_error = 0.004; }},
    {"damping", Severity::kWarning, "model.layers.0.self_attn.q_proj", "18 of 18 linears had a Hessian",
     [](RunRecord& r) {
       for (LinearRecord& l : r.linears) l.status = LinearStatus::kDampingRaised;
     }},
    {"damping", Severity::kNote, "model.layers.3.mlp.up_proj", "1 of 18 linears",
     [](RunRecord& r) { r.linears[kUp].status = LinearStatus::kEigenvalueFloor; }},
    {"block-diagonal", Severity::kNote, "model.layers.3.mlp.up_proj", "here 2",
     [](RunRecord& r) { r.linears[kUp].hessian_blocks = 2; }},
    {"dead-channels", Severity::kNote, "model.layers.3.mlp.up_proj", "100 of 768 inputs",
     [](RunRecord& r) { r.linears[kUp].dead_channels = 100; }},
};

std::vector<Symptom> asking(std::vector<Symptom> symptoms) {
  std::erase_if(symptoms, [](const Symptom& symptom) { return symptom.severity == Severity::kGood; });
  return symptoms;
}

TEST(Diagnosis, AHealthyRunHasNoSymptomAndItsGrowthIsCalledNormal) {
  RunRecord record = healthy();
  EXPECT_THAT(asking(diagnose(record, nullptr)), IsEmpty());
  const std::vector<Symptom> all = diagnose(record, nullptr);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].rule, "loss-growth");
  EXPECT_THAT(all[0].evidence, HasSubstr("from 30 in layer 0 to 180 in layer 5"));
  make_experts(record, 20000);
  EXPECT_THAT(asking(diagnose(record, nullptr)), IsEmpty());
}

TEST(Diagnosis, EachFaultIsFoundAndNamedByItsRuleAlone) {
  for (const Case& c : kCases) {
    RunRecord record = healthy();
    c.plant(record);
    const std::vector<Symptom> found = asking(diagnose(record, nullptr));
    ASSERT_EQ(found.size(), 1u) << c.rule << (found.size() > 1 ? found[1].rule : "");
    EXPECT_EQ(found[0].rule, c.rule);
    EXPECT_EQ(found[0].severity, c.severity) << c.rule;
    EXPECT_EQ(found[0].place, c.place) << c.rule;
    EXPECT_THAT(found[0].evidence, HasSubstr(c.evidence)) << c.rule;
    if (c.severity >= Severity::kWarning) {
      EXPECT_FALSE(found[0].advice.empty()) << c.rule;
    }
  }
}

TEST(Diagnosis, EveryRowOfTheTableHasACase) {
  std::set<std::string_view> named = {"loss-growth", "perplexity", "other-text", "costly-blocks"};
  for (const Case& c : kCases) named.insert(c.rule);
  for (const RuleRow& row : diagnosis_rules()) EXPECT_TRUE(named.erase(row.name) == 1) << row.name;
  EXPECT_THAT(named, IsEmpty());
}

TEST(Diagnosis, PerplexityIsJudgedByBits) {
  RunRecord record = healthy();
  const auto severity = [&](double perplexity) {
    const EvalResult e = evaluated(perplexity);
    for (const Symptom& s : diagnose(record, &e)) {
      if (s.rule == "perplexity") return s.severity;
    }
    return Severity::kError;
  };
  EXPECT_EQ(severity(30.3), Severity::kGood);
  EXPECT_EQ(severity(32), Severity::kNote);
  EXPECT_EQ(severity(36), Severity::kWarning);
  record.options.bits = 2;
  EXPECT_EQ(severity(36), Severity::kGood);
  record.options.bits = 8;
  EXPECT_EQ(severity(31), Severity::kWarning);
  const EvalResult worse = evaluated(36);
  record.options.bits = 4;
  record.options.preset = "fast";
  EXPECT_THAT(diagnose(record, &worse)[0].advice,
              HasSubstr("--preset balanced, --group-size 64, --protect 5, --asym, --bits 8"));
}

// Without a trial the vocabulary is known from the text, and the original's perplexity tells of a wrong tokenizer.
TEST(Diagnosis, AnEvaluationTellsOfAWrongTokenizer) {
  RunRecord record = healthy();
  record.tokenizer_trial.reset();
  EvalResult e = evaluated(3500);
  e.against->perplexity = 3400;
  const std::vector<Symptom> found = asking(diagnose(record, &e));
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].rule, "tokenizer");
  EXPECT_THAT(found[0].evidence, HasSubstr("the original model has a perplexity of 3.4e+03"));
}

// Above what two halves of the calibration text differ by, which is much where there is little of it.
TEST(Diagnosis, TextOfAnotherKindIsNamed) {
  RunRecord record = healthy();
  record.calibration->token_halves = 0.013;
  EvalResult e = evaluated(30.3);
  e.windows = 40;
  e.window = 512;
  const auto found = [&] { return asking(diagnose(record, &e)); };
  for (const double near : {-1.0, 0.0, 0.02, 0.12}) {
    e.calibration_distance = near;
    EXPECT_THAT(found(), IsEmpty()) << near;
  }
  e.calibration_distance = 0.15;
  ASSERT_EQ(found().size(), 1u);
  EXPECT_EQ(found()[0].rule, "other-text");
  EXPECT_EQ(found()[0].severity, Severity::kWarning);
  EXPECT_THAT(found()[0].evidence,
              HasSubstr("0.15 nats apart of 0.69 at most, those of two halves of the calibration text 0.013"));
  e.windows = 2;  // of so few tokens it may be chance
  EXPECT_THAT(found(), IsEmpty());
  e.windows = 40;
  record.calibration->token_halves = 0.07;
  EXPECT_THAT(found(), IsEmpty());
  e.calibration_distance = 0.2;
  EXPECT_EQ(found().size(), 1u);
  record.calibration.reset();
  EXPECT_THAT(found(), IsEmpty());
}

TEST(Diagnosis, TheBlocksThatCauseTheKlAreRanked) {
  const RunRecord record = healthy();
  EvalResult e = evaluated(30.3);
  for (int64_t layer = 0; layer < 6; ++layer)
    e.blocks.push_back({layer, 0.009, 0.1 + 0.01 * static_cast<double>(layer)});
  EXPECT_THAT(asking(diagnose(record, &e)), IsEmpty());
  e.blocks[2].share = 0.6;
  const std::vector<Symptom> found = asking(diagnose(record, &e));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].rule, "costly-blocks");
  EXPECT_EQ(found[0].severity, Severity::kNote);
  EXPECT_EQ(found[0].place, "layer 2");
  EXPECT_THAT(found[0].evidence, HasSubstr("60 % by layer 2, 15 % by layer 5, 14 % by layer 4, of 6 layers"));
  EXPECT_THAT(found[0].advice, HasSubstr("--redo 'model.layers.2.*' --bits 8"));
}

TEST(Diagnosis, TheWorstStandFirst) {
  RunRecord record = healthy();
  for (const Case& c : kCases) c.plant(record);
  record.linears[kUp].status = LinearStatus::kSkipped;
  const std::vector<Symptom> found = diagnose(record, nullptr);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end(),
                             [](const Symptom& a, const Symptom& b) { return a.severity > b.severity; }));
  EXPECT_EQ(found[0].rule, "nonfinite-weights");
  EXPECT_GT(found.size(), 8u);
}

TEST(Diagnosis, OfNothingNothingIsSaid) {
  EXPECT_THAT(diagnose(RunRecord(), nullptr), IsEmpty());
  RunRecord rounded = healthy();
  rounded.calibration.reset();
  rounded.tokenizer_trial.reset();
  for (LinearRecord& l : rounded.linears) {
    l.loss = l.relative_error = l.rtn_relative_error = l.fit_error = l.held_out_error = -1;
    l.tokens = l.effective_rank = 0;
    l.peak_diagonal = l.condition = l.damping = 0;
  }
  EXPECT_THAT(diagnose(rounded, nullptr), IsEmpty());
}

TEST(Diagnosis, GoesOutAsJson) {
  const DiagnosisResult result{"0.1.0", "tiny", {{Severity::kWarning, "few-tokens", "a\xFF", "b", "c"}}};
  const Json root = Json::parse(to_json(result), "t");
  EXPECT_EQ(root.find("worst")->dump(), "\"warning\"");
  EXPECT_EQ(root.find("symptoms")->as_array("t")[0].find("rule")->dump(), "\"few-tokens\"");
}

TEST(Diagnosis, ReadsWhatEvalPrints) {
  EvalResult e = evaluated(36);
  e.name = "four";
  e.windows = 2;
  e.window = 512;
  e.interval = Interval{35, 37};
  e.calibration_distance = 0.25;
  e.against->ratio_interval = Interval{1.1, 1.3};
  e.against->kl_interval = Interval{0.009, 0.011};
  e.blocks = {{0, 0.5, 0.25}, {1, 0.25, -0.5}};
  const EvalResult back = evaluation_from_json(to_json(e), "eval.json");
  EXPECT_EQ(back.perplexity, 36);
  EXPECT_EQ(back.against->kl, 0.01);
  EXPECT_EQ(back.interval->high, 37);
  EXPECT_EQ(back.calibration_distance, 0.25);
  EXPECT_EQ(back.against->ratio_interval->low, 1.1);
  EXPECT_EQ(back.against->kl_interval->high, 0.011);
  ASSERT_EQ(back.blocks.size(), 2u);
  EXPECT_EQ(back.blocks[1].share, -0.5);
  for (const char* text :
       {"{}", "[]", R"({"schema": "hesse-run/1"})", R"({"schema": "hesse-eval/1"})",
        R"({"schema": "hesse-eval/1", "perplexity": 3, "windows": 1, "window": 2, "interval": [2, 1]})"})
    EXPECT_THROW(evaluation_from_json(text, "eval.json"), Error) << text;
  // Of a model that says nothing finite.
  const EvalResult lost = evaluation_from_json(
      R"({"schema": "hesse-eval/1", "perplexity": null, "windows": 9223372036854775807, "window": 9223372036854775807, )"
      R"("interval": [null, null], "blocks": [{"layer": 0, "kl": null, "share": null}], "calibration_distance": 0.5})",
      "eval.json");
  EXPECT_FALSE(lost.interval);
  EXPECT_THAT(lost.blocks, IsEmpty());
  EXPECT_EQ(asking(diagnose(healthy(), &lost)).back().rule, "other-text");
  EXPECT_THAT(
      diagnose(healthy(), &back)[0].evidence,
      HasSubstr("perplexity 36 (35 to 37), 30 of the original: +20 % (10 to 30); KL 0.01 (0.009 to 0.011) nats"));
}

TEST(Diagnosis, OfSeveralEvaluatedModelsTakesItsOwn) {
  EvalResult e = evaluated(30);
  e.name = "original";
  e.others = {evaluated(36)};
  e.others[0].name = "four";
  const EvalResult back = evaluation_from_json(to_json(e), "eval.json");
  EXPECT_EQ(evaluation_of(back, "four").perplexity, 36);
  EXPECT_EQ(evaluation_of(back, "original").perplexity, 30);
  EXPECT_THROW(evaluation_of(back, "three"), Error);
  EXPECT_EQ(evaluation_of(evaluated(31), "renamed since").perplexity, 31);
}

}  // namespace
}  // namespace hesse
