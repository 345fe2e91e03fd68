// hesse-run.json read back: everything that was written, and refusals in one line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/rng.h"
#include "hesse/error.h"
#include "io/json.h"
#include "report/report.h"
#include "report/small_record.h"

namespace hesse {
namespace {

using testing::HasSubstr;

Json parsed() { return Json::parse(to_json(small_record()), "t"); }

std::string refusal(const std::string& text) {
  try {
    record_from_json(text, "hesse-run.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  ADD_FAILURE() << "not refused";
  return "";
}

// The first linear with a member changed.
std::string with_linear(const std::string& name, Json value) {
  Json root = parsed();
  Json linear = root.find("linears")->as_array("t")[0];
  linear.set(name, std::move(value));
  root.set("linears", Json::Array{linear});
  return root.dump();
}

TEST(ReadRecord, GivesBackWhatWasWritten) {
  RunRecord record = small_record();
  const std::string text = to_json(record);
  EXPECT_EQ(to_json(record_from_json(text, "t")), text);
  record.forecast = Forecast{{0, 3, 5}, 100.5, 2000};
  record.tokenizer_trial.reset();
  record.calibration.reset();
  record.predicted_seconds = -1;
  record.predicted_peak_memory_bytes = -1;
  record.linears[0].loss = record.linears[0].weight_rms = -1;
  record.linears[0].expert = 7;
  record.linears.resize(3, record.linears[0]);
  record.linears[1].weight_errors.assign(kErrorBins + 2, 7);
  record.calibration = CalibrationFacts{};
  record.calibration->token_buckets = {3, 0, 5};
  record.calibration->token_halves = 0.25;
  const std::string other = to_json(record);
  EXPECT_EQ(to_json(record_from_json(other, "t")), other);
}

TEST(ReadRecord, WeightErrorsHaveTheirBins) {
  EXPECT_THAT(refusal(with_linear("weight_errors", Json::Array{1, 2, 3})),
              HasSubstr("weight_errors has 3 counts; must be 27"));
  EXPECT_THAT(refusal(with_linear("weight_errors", Json::Array{-1})), HasSubstr("weight_errors has -1"));
}

TEST(ReadRecord, WhatIsNotFiniteStaysUnknown) {
  RunRecord record = small_record();
  record.linears[0].clip_rate = std::numeric_limits<double>::quiet_NaN();
  const std::string text = to_json(record);
  EXPECT_TRUE(std::isnan(record_from_json(text, "t").linears[0].clip_rate));
  EXPECT_EQ(to_json(record_from_json(text, "t")), text);
}

TEST(ReadRecord, MembersThatMayBeAddedMayBeUnknownOrLacking) {
  Json root = parsed();
  root.set("of a later version", Json::Array{1, 2});
  Json options = *root.find("options");
  options.set("of_a_later_version", true);
  root.set("options", options);
  EXPECT_EQ(record_from_json(root.dump(), "t").linears.size(), 1u);
  root.set("options", Json::object());
  EXPECT_EQ(record_from_json(root.dump(), "t").options.bits, QuantizeOptions().bits);
}

TEST(ReadRecord, OtherSchemasAreRefused) {
  EXPECT_THAT(refusal(R"({"schema": "hesse-run/2"})"), HasSubstr("schema is 'hesse-run/2', this Hesse reads"));
  EXPECT_THAT(refusal(R"({"schema": "hesse-eval/1"})"), HasSubstr("give the directory of a result"));
  EXPECT_THAT(refusal("{}"), HasSubstr("no 'schema'"));
  EXPECT_THAT(refusal("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(refusal(""), HasSubstr("[json] hesse-run.json"));
}

// Nothing that a run always writes may be lacking.
TEST(ReadRecord, EveryMemberIsMissed) {
  const Json root = parsed();
  for (const auto& [name, value] : root.as_object("t")) {
    if (name == "options" || name == "tokenizer_trial") continue;
    Json::Object rest;
    for (const auto& member : root.as_object("t")) {
      if (member.first != name) rest.push_back(member);
    }
    EXPECT_THAT(refusal(Json(rest).dump()), HasSubstr("no '" + name + "'; damaged, or written by an older")) << name;
  }
}

TEST(ReadRecord, HostileValuesAreRefusedWithTheirPlace) {
  EXPECT_THAT(refusal(with_linear("out", "wide")), HasSubstr("linears[0]: out: expected an integer, found a string"));
  EXPECT_THAT(refusal(with_linear("layer", -1)), HasSubstr("linears[0]: layer is -1"));
  EXPECT_THAT(refusal(with_linear("layer", int64_t{1} << 40)), HasSubstr("must be 0 to 100000"));
  EXPECT_THAT(refusal(with_linear("expert", int64_t{1} << 40)), HasSubstr("expert is"));
  EXPECT_THAT(refusal(with_linear("bits", int64_t{1} << 40)), HasSubstr("bits is"));
  EXPECT_THAT(refusal(with_linear("status", "splendid")), HasSubstr("unknown status 'splendid'"));
  EXPECT_THAT(refusal(with_linear("tokens", 1.5)), HasSubstr("expected an integer"));
  EXPECT_THAT(refusal(with_linear("symmetric", Json())), HasSubstr("expected a boolean"));
  Json root = parsed();
  root.set("linears", Json::Array{1});
  EXPECT_THAT(refusal(root.dump()), HasSubstr("linears[0]: expected an object"));
}

// Any damage gives a record or one refusal, never anything else.
TEST(ReadRecord, DamagedBytesNeverEscape) {
  const std::string text = to_json(small_record());
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    std::string damaged = text;
    for (int i = 0; i < 3; ++i) damaged[rng.below(damaged.size())] = static_cast<char>(32 + rng.below(95));
    if (seed % 3 == 0) damaged.resize(rng.below(damaged.size()));
    try {
      record_from_json(damaged, "hesse-run.json");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace hesse
