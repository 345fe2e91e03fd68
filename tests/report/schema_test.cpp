// docs/hesse-run.schema.json against what records are; real runs are in tests/run/diagnosis_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

#include "report/json_schema.h"
#include "report/report.h"
#include "report/small_record.h"

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> problems_of(const RunRecord& record) {
  return SchemaCheck::problems(record_schema(), Json::parse(to_json(record), "record"));
}

TEST(Schema, HoldsOfRecordsOfAllKinds) {
  RunRecord record = small_record();
  EXPECT_THAT(problems_of(record), IsEmpty());
  record.linears[0].expert = 3;
  record.forecast = Forecast{{0, 3}, 100, 2000};
  record.linears[0].weight_errors.assign(kErrorBins + 2, 5);
  record.calibration->token_buckets.assign(256, 5);
  record.calibration->token_halves = 0.02;
  EXPECT_THAT(problems_of(record), IsEmpty());
  record.calibration.reset();
  record.tokenizer_trial.reset();
  record.linears[0].loss = record.linears[0].largest_output = record.linears[0].weight_rms = -1;
  record.linears[0].group_size = -1;
  record.bits_per_weight = record.seconds = std::numeric_limits<double>::quiet_NaN();
  record.predicted_peak_memory_bytes = -1;
  EXPECT_THAT(problems_of(record), IsEmpty());
  EXPECT_THAT(problems_of(RunRecord()), IsEmpty());
}

// Everything that the record has is in the schema.
TEST(Schema, KnowsEveryMember) {
  const Json schema = record_schema();
  const Json record = Json::parse(to_json(small_record()), "record");
  const auto compare = [](const Json& rules, const Json& object, const std::string& at) {
    for (const auto& [name, value] : object.as_object(at))
      EXPECT_NE(rules.find("properties")->find(name), nullptr) << at << "." << name;
  };
  compare(schema, record, "$");
  for (const char* name : {"options", "machine", "calibration", "tokenizer_trial", "result", "cost"})
    compare(*schema.find("properties")->find(name), *record.find(name), name);
  compare(*schema.find("properties")->find("linears")->find("items"), record.find("linears")->as_array("t")[0],
          "linears");
}

TEST(Schema, EveryStatusAndTroubleIsListed) {
  for (int i = 0; i <= static_cast<int>(LinearStatus::kSkipped); ++i) {
    RunRecord record = small_record();
    record.linears[0].status = static_cast<LinearStatus>(i);
    EXPECT_THAT(problems_of(record), IsEmpty()) << i;
  }
  const std::string text = record_schema().dump();
  for (int i = 0; i <= static_cast<int>(Trouble::kFallback); ++i)
    EXPECT_THAT(text, HasSubstr("\"" + std::string(trouble_name(static_cast<Trouble>(i))) + "\""));
}

TEST(Schema, TheCheckFindsWhatIsWrong) {
  const auto problems = [](const char* schema, const char* value) {
    return SchemaCheck::problems(Json::parse(schema, "s"), Json::parse(value, "v"));
  };
  EXPECT_THAT(problems(R"({"type": "integer"})", "1.5"), ElementsAre(HasSubstr("not of type")));
  EXPECT_THAT(problems(R"({"type": ["integer", "null"]})", "null"), IsEmpty());
  EXPECT_THAT(problems(R"({"minimum": 0})", "-1"), ElementsAre(HasSubstr("below 0")));
  EXPECT_THAT(problems(R"({"required": ["a"]})", "{}"), ElementsAre(HasSubstr("lacks \"a\"")));
  EXPECT_THAT(problems(R"({"enum": ["a"]})", "\"b\""), ElementsAre(HasSubstr("none of")));
  EXPECT_THAT(problems(R"({"const": "a"})", "\"b\""), ElementsAre(HasSubstr("is not")));
  EXPECT_THAT(problems(R"({"items": {"type": "string"}})", "[\"a\", 1]"), ElementsAre(HasSubstr("$[1]")));
  EXPECT_THAT(problems(R"({"additionalProperties": {"type": "string"}})", "{\"a\": 1}"), ElementsAre(HasSubstr("$.a")));
  EXPECT_THAT(problems(R"({"maximum": 1})", "1"), ElementsAre(HasSubstr("keyword maximum")));
}

}  // namespace
}  // namespace hesse
