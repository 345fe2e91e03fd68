#include "hesse/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "hesse/error.h"

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

QuantizeOptions usable_quantize() {
  QuantizeOptions o;
  o.model = "model";
  o.output = "out";
  o.calibration = {"text.txt"};
  return o;
}

EvalOptions usable_eval() {
  EvalOptions o;
  o.model = "model";
  o.text = {"text.txt"};
  return o;
}

GenerateOptions usable_generate() {
  GenerateOptions o;
  o.model = "model";
  o.prompt = "Once";
  return o;
}

// Checks that `change` makes exactly one problem, which begins with the name of the option.
template <class Options, class Change>
void expect_problem(Options options, const std::string& name, Change change) {
  ASSERT_THAT(options.problems(), IsEmpty());
  change(options);
  const std::vector<std::string> problems = options.problems();
  ASSERT_THAT(problems, SizeIs(1)) << name;
  EXPECT_EQ(problems[0].rfind(name, 0), 0u) << problems[0];
  EXPECT_EQ(problems[0].find('\n'), std::string::npos);
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(QuantizeOptions, DefaultsNeedOnlyTheFiles) {
  EXPECT_THAT(usable_quantize().problems(), IsEmpty());
  EXPECT_THAT(QuantizeOptions().problems(), ElementsAre(HasSubstr("model is missing"), HasSubstr("output is missing"),
                                                        HasSubstr("calib is missing")));
}

TEST(QuantizeOptions, EveryProblemIsToldAtOnce) {
  QuantizeOptions o;
  o.bits = 5;
  o.group_size = -2;
  o.method = "awq";
  o.samples = 0;
  o.length = 1;
  o.damping = -1;
  o.scale_search = "mse";
  o.shard_size = 0;
  o.threads = -1;
  EXPECT_THAT(o.problems(), SizeIs(11));  // nine of these, the model and the output; awq may not need a text
}

TEST(QuantizeOptions, PresetsAreUsableAndDiffer) {
  for (const char* name : {"fast", "balanced", "best", "classic"}) {
    QuantizeOptions o = QuantizeOptions::with_preset(name);
    EXPECT_EQ(o.preset, name);
    o.model = "model";
    o.output = "out";
    o.calibration = {"text.txt"};
    EXPECT_THAT(o.problems(), IsEmpty()) << name;
  }
  EXPECT_EQ(QuantizeOptions::with_preset("fast").shift, 0);
  EXPECT_EQ(QuantizeOptions::with_preset("classic").order, "file");
  EXPECT_GT(QuantizeOptions::with_preset("best").samples, QuantizeOptions().samples);
  EXPECT_THROW(QuantizeOptions::with_preset("quick"), Error);
}

TEST(QuantizeOptions, EachFieldIsChecked) {
  const QuantizeOptions usable = usable_quantize();
  expect_problem(usable, "preset", [](auto& o) { o.preset = "quick"; });
  expect_problem(usable, "order", [](auto& o) { o.order = "random"; });
  expect_problem(usable, "format", [](auto& o) { o.format = "GPTQ"; });
  for (const int64_t width : {int64_t{-2}, int64_t{1} << 40})
    expect_problem(usable, "pad-intermediate", [=](auto& o) { o.pad_intermediate = width; });
  expect_problem(usable, "on-nonfinite", [](auto& o) { o.on_nonfinite = "ignore"; });
  for (const char* word : {"", "fp16", "BF16"}) expect_problem(usable, "compute", [=](auto& o) { o.compute = word; });
  for (const int64_t joint : {int64_t{0}, int64_t{65}})
    expect_problem(usable, "joint", [=](auto& o) { o.joint = joint; });
  for (const int64_t n : {int64_t{-1}, int64_t{101}}) expect_problem(usable, "sweeps", [=](auto& o) { o.sweeps = n; });
  for (const double ridge : {-1.0, kNan}) expect_problem(usable, "ridge", [=](auto& o) { o.ridge = ridge; });
  for (const double share : {-0.1, 1.0, kNan}) {
    expect_problem(usable, "max-nonfinite", [=](auto& o) { o.max_nonfinite = share; });
  }
  for (const double value : {-1.0, kNan, kInf}) {
    expect_problem(usable, "max-early-loss", [=](auto& o) { o.max_early_loss = value; });
    expect_problem(usable, "hessian-memory", [=](auto& o) { o.hessian_memory = value; });
    expect_problem(usable, "disk", [=](auto& o) { o.disk = value; });
  }
  for (const int bits : {-4, 0, 1, 5, 6, 7, 9, 16}) {
    expect_problem(usable, "bits", [=](auto& o) { o.bits = bits; });
  }
  for (const int64_t size : {std::numeric_limits<int64_t>::min(), int64_t{-2}}) {
    expect_problem(usable, "group-size", [=](auto& o) { o.group_size = size; });
  }
  for (const double damping : {-0.01, 10.5, kNan, kInf}) {
    expect_problem(usable, "damp", [=](auto& o) { o.damping = damping; });
  }
  for (const double size : {0.0, -1.0, 0.0001, kNan, kInf}) {
    expect_problem(usable, "shard-size", [=](auto& o) { o.shard_size = size; });
  }
  expect_problem(usable, "method", [](auto& o) { o.method = "GPTQ"; });
  expect_problem(usable, "scale-search", [](auto& o) { o.scale_search = ""; });
  expect_problem(usable, "samples", [](auto& o) { o.samples = 0; });
  expect_problem(usable, "length", [](auto& o) { o.length = 1; });
  expect_problem(usable, "threads", [](auto& o) { o.threads = -1; });
  expect_problem(usable, "threads", [](auto& o) { o.threads = std::numeric_limits<int>::max(); });
  expect_problem(usable, "calib", [](auto& o) { o.calibration.clear(); });
  expect_problem(usable, "calib", [](auto& o) { o.calibration.push_back(""); });
  expect_problem(usable, "calib", [](auto& o) { o.calibration.push_back("builtin:poetry"); });
  for (const char* word : {"", "yes", "Auto"}) expect_problem(usable, "bos", [=](auto& o) { o.bos = word; });
  for (const double share : {-0.1, 1.1, kNan})
    expect_problem(usable, "random-share", [=](auto& o) { o.random_share = share; });
}

TEST(QuantizeOptions, TheProductOfSamplesAndLengthCannotOverflow) {
  const auto huge = [](auto& o) {
    o.samples = std::numeric_limits<int64_t>::max();
    o.length = std::numeric_limits<int64_t>::max();
  };
  expect_problem(usable_quantize(), "samples x length", huge);
}

TEST(QuantizeOptions, WhatIsMeantIsAccepted) {
  QuantizeOptions o = usable_quantize();
  for (const int bits : {2, 3, 4, 8}) {
    for (const int64_t group_size : {int64_t{-1}, int64_t{1}, int64_t{32}, int64_t{1} << 40}) {
      o.bits = bits;
      o.group_size = group_size;
      EXPECT_THAT(o.problems(), IsEmpty());
    }
  }
  o.damping = 10;
  o.scale_search = "minmax";
  o.method = "rtn";
  o.calibration.clear();
  EXPECT_THAT(o.problems(), IsEmpty());
}

TEST(QuantizeOptions, TheModelIsNotItsOwnOutput) {
  for (const char* output : {"models/a", "models/a/", "models/./a", "models/b/../a", "./models/a"}) {
    expect_problem(usable_quantize(), "output", [=](auto& o) {
      o.model = "models/a";
      o.output = output;
    });
  }
  QuantizeOptions o = usable_quantize();
  o.model = "models/a";
  o.output = "models/a-4bit";
  EXPECT_THAT(o.problems(), IsEmpty());
}

TEST(EvalOptions, EachFieldIsChecked) {
  const EvalOptions usable = usable_eval();
  expect_problem(usable, "model", [](auto& o) { o.model.clear(); });
  expect_problem(usable, "text", [](auto& o) { o.text.clear(); });
  expect_problem(usable, "text", [](auto& o) { o.text = {""}; });
  expect_problem(usable, "window", [](auto& o) { o.window = 1; });
  expect_problem(usable, "windows", [](auto& o) { o.windows = -1; });
  expect_problem(usable, "compute", [](auto& o) { o.compute = "float32"; });
  expect_problem(usable, "bos", [](auto& o) { o.bos = "true"; });
  expect_problem(usable, "threads", [](auto& o) { o.threads = -2; });
  expect_problem(usable, "model", [](auto& o) { o.others = {""}; });
  expect_problem(usable, "text and task", [](auto& o) { o.task = {"t.jsonl"}; });
  expect_problem(usable, "items", [](auto& o) { o.items = -1; });
  expect_problem(usable, "attribute", [](auto& o) { o.attribute = true; });
  expect_problem(usable, "attribute", [](auto& o) {
    o.attribute = true;
    o.against = "reference";
    o.others = {"b"};
  });
  expect_problem(usable, "save-reference", [](auto& o) {
    o.save_reference = "f";
    o.others = {"b"};
  });
  expect_problem(usable, "like-gptq", [](auto& o) {
    o.like_gptq = true;
    o.window = 128;
  });
  expect_problem(usable, "task", [](auto& o) {
    o.text.clear();
    o.task = {"t.jsonl"};
    o.against = "reference";
  });
}

TEST(CompareOptions, EachFieldIsChecked) {
  CompareOptions usable;
  usable.model = "a";
  usable.others = {"b"};
  usable.prompts = "prompts.txt";
  expect_problem(usable, "model", [](auto& o) { o.others.clear(); });
  expect_problem(usable, "model", [](auto& o) { o.others = {""}; });
  expect_problem(usable, "prompts", [](auto& o) { o.prompts.clear(); });
  expect_problem(usable, "system", [](auto& o) { o.system = "Be brief."; });
  expect_problem(usable, "max-tokens", [](auto& o) { o.max_tokens = 0; });
  expect_problem(usable, "temperature", [](auto& o) { o.temperature = -1; });
  expect_problem(usable, "top-p", [](auto& o) { o.top_p = 0; });
  expect_problem(usable, "compute", [](auto& o) { o.compute = "f64"; });
  expect_problem(usable, "threads", [](auto& o) { o.threads = -1; });
}

TEST(GenerateOptions, EachFieldIsChecked) {
  const GenerateOptions usable = usable_generate();
  expect_problem(usable, "model", [](auto& o) { o.model.clear(); });
  expect_problem(usable, "max-tokens", [](auto& o) { o.max_tokens = 0; });
  expect_problem(usable, "system", [](auto& o) { o.system = "Be brief."; });
  expect_problem(usable, "compute", [](auto& o) { o.compute = "int8"; });
  for (const double temperature : {-0.1, kNan, kInf}) {
    expect_problem(usable, "temperature", [=](auto& o) { o.temperature = temperature; });
  }
  for (const double top_p : {0.0, -1.0, 1.5, kNan}) {
    expect_problem(usable, "top-p", [=](auto& o) { o.top_p = top_p; });
  }
  expect_problem(usable, "threads", [](auto& o) { o.threads = -2; });
}

TEST(CheckOptions, AsThoseOfQuantizeButNothingIsWritten) {
  CheckOptions options;
  EXPECT_THAT(options.problems(), ElementsAre(HasSubstr("model is missing")));
  options.quantize.model = "m";
  EXPECT_THAT(options.problems(), IsEmpty());
  options.quantize.bits = 5;
  options.quantize.length = 1;
  options.text = {""};
  EXPECT_THAT(options.problems(), ElementsAre(HasSubstr("bits is 5"), HasSubstr("length is 1"), HasSubstr("text")));
}

TEST(BenchOptions, EachFieldIsChecked) {
  const BenchOptions usable;
  EXPECT_THAT(usable.problems(), IsEmpty());  // a model is not needed
  expect_problem(usable, "preset", [](auto& o) { o.preset = "quick"; });
  expect_problem(usable, "bits", [](auto& o) { o.bits = 5; });
  expect_problem(usable, "group-size", [](auto& o) { o.group_size = 0; });
  expect_problem(usable, "samples", [](auto& o) { o.samples = -1; });
  expect_problem(usable, "length", [](auto& o) { o.length = 1; });
  expect_problem(usable, "samples x length", [](auto& o) { o.samples = o.length = int64_t{1} << 40; });
  expect_problem(usable, "threads", [](auto& o) { o.threads = -2; });
}

TEST(DataOptions, EachFieldIsChecked) {
  DataOptions usable;
  usable.model = "model";
  usable.calibration = {"text.txt:2", "builtin:chat:0.5"};
  expect_problem(usable, "model", [](auto& o) { o.model.clear(); });
  expect_problem(usable, "calib", [](auto& o) { o.calibration.clear(); });
  expect_problem(usable, "calib", [](auto& o) { o.calibration = {"builtin:"}; });
  expect_problem(usable, "samples", [](auto& o) { o.samples = 0; });
  expect_problem(usable, "length", [](auto& o) { o.length = 1; });
  expect_problem(usable, "bos", [](auto& o) { o.bos = "maybe"; });
  expect_problem(usable, "random-share", [](auto& o) { o.random_share = 2; });
}

TEST(TokenizeOptions, NeedsAModelAndOneText) {
  EXPECT_THAT(TokenizeOptions().problems(), ElementsAre(HasSubstr("model is missing"), HasSubstr("text is missing")));
  TokenizeOptions usable;
  usable.model = "model";
  usable.text = "Once";
  expect_problem(usable, "text", [](auto& o) { o.decode = "1"; });
  expect_problem(usable, "text", [](auto& o) { o.file = {"text.txt"}; });
}

TEST(ConvertOptions, EachFieldIsChecked) {
  ConvertOptions usable;
  usable.model = "model";
  usable.output = "out";
  usable.format = "awq";
  expect_problem(usable, "model", [](auto& o) { o.model.clear(); });
  expect_problem(usable, "output", [](auto& o) { o.output.clear(); });
  expect_problem(usable, "output", [](auto& o) { o.output = "./model/"; });
  for (const char* word : {"", "auto", "AWQ", "ggml"})
    expect_problem(usable, "format", [=](auto& o) { o.format = word; });
  expect_problem(usable, "shard-size", [](auto& o) { o.shard_size = 0; });
  expect_problem(usable, "threads", [](auto& o) { o.threads = -1; });
}

TEST(ReportOptions, EachFieldIsChecked) {
  ReportOptions usable;
  usable.model = "a";
  usable.others = {"b"};
  expect_problem(usable, "model", [](auto& o) { o.model.clear(); });
  expect_problem(usable, "model", [](auto& o) { o.others = {"b", ""}; });
  expect_problem(usable, "eval", [](auto& o) { o.eval = {"one.json"}; });
  DiagnoseOptions one;
  one.model = "a";
  expect_problem(one, "model", [](auto& o) { o.model.clear(); });
}

TEST(VerifyOptions, EachFieldIsChecked) {
  VerifyOptions usable;
  usable.model = "model";
  expect_problem(usable, "model", [](auto& o) { o.model.clear(); });
  expect_problem(usable, "threads", [](auto& o) { o.threads = -1; });
}

TEST(InspectOptions, NeedsAModel) { EXPECT_THAT(InspectOptions().problems(), ElementsAre(HasSubstr("model"))); }

// A field that no visitor shows has no flag and is missing in the record.
TEST(Options, VisitorsShowEveryFieldWithAHelpLine) {
  const auto count = [](auto options) {
    int fields = 0;
    visit_options(options, [&](std::string_view name, auto&, std::string_view help) {
      EXPECT_FALSE(help.empty()) << name;
      ++fields;
    });
    return fields;
  };
  EXPECT_EQ(count(QuantizeOptions()), 49);
  EXPECT_EQ(count(CheckOptions()), 53);  // those of quantize and its own
  EXPECT_EQ(count(EvalOptions()), 13);
  EXPECT_EQ(count(CompareOptions()), 12);
  EXPECT_EQ(count(GenerateOptions()), 10);
  EXPECT_EQ(count(BenchOptions()), 7);
  EXPECT_EQ(count(DataOptions()), 9);
  EXPECT_EQ(count(ConvertOptions()), 6);
  EXPECT_EQ(count(VerifyOptions()), 1);
  EXPECT_EQ(count(DiagnoseOptions()), 1);
  EXPECT_EQ(count(ReportOptions()), 2);
}

}  // namespace
}  // namespace hesse
