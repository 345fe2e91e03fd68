// Faults planted in the demo model, its tokenizer or the text: each run's record names its own, and a healthy one none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "api/model_copy.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "model/source.h"
#include "report/json_schema.h"
#include "run/small_experts.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kDemo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";

class PlantedFault : public testing::Test {
 protected:
  QuantizeOptions options() const {
    QuantizeOptions o = QuantizeOptions::with_preset("fast");
    o.model = copy_.model().string();
    o.output = copy_.file("out").string();
    o.calibration = {(kDemo / "calibration.txt").string()};
    o.samples = 48;
    o.length = 256;
    o.joint = 1;  // what is tested here does not depend on the last per cent
    o.sweeps = 0;
    o.compute = "f32";
    o.check = false;
    return o;
  }

  // Tensors whose names hold `part`, as float32 and changed.
  void change(const std::string& part, const std::function<void(std::vector<float>&)>& how) const {
    copy_.rewrite([&](std::vector<StoredTensor>& tensors) {
      int64_t changed = 0;
      for (StoredTensor& tensor : tensors) {
        if (tensor.spec.name.find(part) == std::string::npos) continue;
        std::vector<float> values(static_cast<size_t>(tensor.spec.elements()));
        const TensorView view{tensor.spec, std::as_bytes(std::span(tensor.bytes))};
        convert_to_float(view, 0, tensor.spec.elements(), values.data());
        how(values);
        tensor.spec.dtype = DType::kF32;
        tensor.bytes.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
        ++changed;
      }
      ASSERT_GT(changed, 0) << part;
    });
  }

  static std::vector<Symptom> warnings_of(const RunRecord& record, const EvalResult* evaluation = nullptr) {
    std::vector<Symptom> symptoms = diagnose(record, evaluation);
    std::erase_if(symptoms, [](const Symptom& symptom) { return symptom.severity < Severity::kWarning; });
    return symptoms;
  }
  // The gravest symptom of a run.
  Symptom worst(const QuantizeOptions& o) {
    const std::vector<Symptom> symptoms = warnings_of(quantize(o, quiet_));
    if (symptoms.empty()) return {};
    return symptoms.front();
  }
  void expect_tokenizer_named() {
    QuantizeOptions o = options();
    o.check = true;
    try {
      quantize(o, quiet_);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("okenizer"));
    }
    // Without the trial the run goes through, and an evaluation tells.
    o.check = false;
    o.samples = 8;
    const RunRecord record = quantize(o, quiet_);
    EvalOptions eval;
    eval.model = o.output;
    eval.text = {copy_.file("text.txt").string()};
    eval.against = o.model;
    eval.window = 128;
    eval.windows = 4;
    const EvalResult evaluation = evaluate(eval, quiet_);
    const std::vector<Symptom> symptoms = warnings_of(record, &evaluation);
    ASSERT_FALSE(symptoms.empty());
    EXPECT_EQ(symptoms.front().rule, "tokenizer");
  }

  const ModelCopy copy_{"hesse-planted"};
  Listener quiet_;
};

TEST_F(PlantedFault, AHealthyRunHasNoneAndWritesItsPage) {
  QuantizeOptions o = options();
  o.check = true;
  const RunRecord record = quantize(o, quiet_);
  for (const Symptom& symptom : warnings_of(record)) ADD_FAILURE() << symptom.rule << ": " << symptom.evidence;
  EXPECT_EQ(to_json(read_record(o.output)) + "\n", read_text_file(fs::path(o.output) / "hesse-run.json"));
  const Json written = Json::parse(to_json(record), "record");
  for (const std::string& problem : SchemaCheck::problems(record_schema(), written)) ADD_FAILURE() << problem;
  ASSERT_TRUE(record.calibration && record.tokenizer_trial);
  EXPECT_GT(record.linears.front().weight_rms, 0.05);
  // Of six linears every weight is counted once, most of them within half a step.
  int64_t counted = 0;
  for (const LinearRecord& linear : record.linears) {
    if (linear.weight_errors.empty()) continue;
    ++counted;
    const std::vector<int64_t>& errors = linear.weight_errors;
    EXPECT_EQ(std::accumulate(errors.begin(), errors.end(), int64_t{0}), linear.out * linear.in) << linear.name;
    const auto middle = errors.begin() + (kErrorBins + 1) / 2;
    EXPECT_GT(std::accumulate(middle - 4, middle + 5, int64_t{0}), linear.out * linear.in * 3 / 4) << linear.name;
  }
  EXPECT_EQ(counted, 6);
  const fs::path page = fs::path(o.output) / "hesse-report.html";
  EXPECT_THAT(read_text_file(page), HasSubstr("No rule of the diagnosis warns."));

  // The page again, and of two runs; a file that is none stays.
  const std::string first = read_text_file(page);
  EXPECT_EQ(report({.model = o.output, .others = {}, .output = {}, .eval = {}}).path, page.string());
  EXPECT_EQ(read_text_file(page), first);
  const std::string both = copy_.file("both.html").string();
  EXPECT_EQ(report({.model = o.output, .others = {o.output}, .output = both, .eval = {}}).runs, 2);
  EXPECT_THROW(
      report({.model = o.output, .others = {}, .output = (copy_.model() / "config.json").string(), .eval = {}}), Error);
  EXPECT_TRUE(fs::exists(copy_.model() / "config.json"));
  EXPECT_EQ(diagnose(DiagnoseOptions{.model = o.output, .eval = {}}).worst(), Severity::kGood);
}

TEST_F(PlantedFault, ShuffledVocabulary) {
  Json tokenizer = Json::parse(read_text_file(copy_.model() / "tokenizer.json"), "tokenizer.json");
  Json model = *tokenizer.find("model");
  Json::Object vocabulary = model.find("vocab")->as_object("vocab");
  std::vector<size_t> places;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    if (vocabulary[i].second.as_int("id") > 1) places.push_back(i);
  }
  std::vector<size_t> shuffled = places;
  Rng(7).shuffle(shuffled);
  const Json::Object before = vocabulary;
  for (size_t i = 0; i < places.size(); ++i) vocabulary[places[i]].second = before[shuffled[i]].second;
  model.set("vocab", Json(vocabulary));
  tokenizer.set("model", model);
  copy_.put("model/tokenizer.json", tokenizer.dump());
  expect_tokenizer_named();
}

TEST_F(PlantedFault, TokenizerOfAnotherModel) {
  SmallModel::make(copy_.file("other"));
  copy_.put("model/tokenizer.json", read_text_file(copy_.file("other") / "tokenizer.json"));
  copy_.put("model/tokenizer_config.json", read_text_file(copy_.file("other") / "tokenizer_config.json"));
  copy_.set_config("bos_token_id", "256");
  copy_.set_config("eos_token_id", "257");
  copy_.set("generation_config.json", "bos_token_id", "256");
  copy_.set("generation_config.json", "eos_token_id", "257");
  expect_tokenizer_named();
}

// Calibrated on prose: prose of the same books is near, C++ is named.
TEST_F(PlantedFault, EvaluationTextOfAnotherKind) {
  QuantizeOptions o = options();
  const RunRecord record = quantize(o, quiet_);
  std::string code;
  for (const char* file : {"src/api/evaluate.cpp", "src/quant/gptq.cpp", "src/run/pipeline.cpp", "src/run/layer.cpp",
                           "src/run/collect.cpp", "src/plan/memory.cpp", "src/model/source.cpp"})
    code += read_text_file(fs::path(HESSE_SOURCE_DIR) / file);
  copy_.put("code.txt", code);
  EvalOptions eval;
  eval.model = o.output;
  eval.window = 256;
  eval.windows = 64;  // 16384 tokens: fewer are no more than a hint
  const auto rules_of = [&](const std::string& text) {
    eval.text = {text};
    const EvalResult evaluation = evaluate(eval, quiet_);
    EXPECT_GE(evaluation.calibration_distance, 0);
    std::string rules;
    for (const Symptom& symptom : warnings_of(record, &evaluation)) rules += symptom.rule + " ";
    return rules;
  };
  EXPECT_EQ(rules_of((kDemo / "heldout.txt").string()), "");
  EXPECT_EQ(rules_of(copy_.file("code.txt").string()), "other-text ");
  eval.model = o.model;  // it has no record
  eval.text = {copy_.file("code.txt").string()};
  EXPECT_EQ(evaluate(eval, quiet_).calibration_distance, -1);
}

TEST_F(PlantedFault, OneRepeatedWord) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "river ";
  copy_.put("word.txt", text);
  QuantizeOptions o = options();
  o.calibration = {copy_.file("word.txt").string()};
  const Symptom symptom = worst(o);
  EXPECT_EQ(symptom.rule, "repeated-text") << symptom.evidence;
  EXPECT_EQ(symptom.place, "calibration");
}

TEST_F(PlantedFault, WeightsOfOneLayerTimesEight) {
  change("model.layers.3.", [](std::vector<float>& values) {
    if (values.size() <= 256) return;  // norms
    for (float& value : values) value *= 8;
  });
  const Symptom symptom = worst(options());
  EXPECT_EQ(symptom.rule, "weight-scale") << symptom.evidence;
  EXPECT_EQ(symptom.place, "layer 3");
}

TEST_F(PlantedFault, OutlierChannel) {
  change("model.layers.3.input_layernorm.weight", [](std::vector<float>& values) { values[7] *= 60; });
  const std::vector<Symptom> symptoms = warnings_of(quantize(options(), quiet_));
  const auto found = std::find_if(symptoms.begin(), symptoms.end(),
                                  [](const Symptom& symptom) { return symptom.rule == "outlier-channel"; });
  ASSERT_NE(found, symptoms.end());
  EXPECT_THAT(found->place, HasSubstr("model.layers.3.self_attn."));
}

TEST_F(PlantedFault, StarvingExpert) {
  SmallExperts::make(copy_.file("moe"));
  QuantizeOptions o = small_options(copy_.file("moe"), copy_.file("out"));
  const std::vector<Symptom> symptoms = warnings_of(quantize(o, quiet_));
  const auto found = std::find_if(symptoms.begin(), symptoms.end(),
                                  [](const Symptom& symptom) { return symptom.rule == "starving-experts"; });
  ASSERT_NE(found, symptoms.end());
  EXPECT_EQ(found->place, "layer 0, expert 4");
}

}  // namespace
}  // namespace hesse
