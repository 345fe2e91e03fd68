#include "cli/report_text.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace hesse {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

int64_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

RunRecord record_of(int64_t layers) {
  RunRecord record;
  for (int64_t layer = 0; layer < layers; ++layer) {
    LinearRecord linear;
    linear.layer = layer;
    linear.relative_error = layer % 2 == 0 ? 0.001 : 0.01;
    record.linears.push_back(linear);
  }
  return record;
}

std::vector<Symptom> symptoms() {
  std::vector<Symptom> all;
  for (int i = 0; i < 4; ++i)
    all.push_back({Severity::kWarning, fmt::format("rule-{}", i), "a.b", "evidence", "advice"});
  all.push_back({Severity::kNote, "a-note", "", "noted", ""});
  all.push_back({Severity::kGood, "fine", "", "normal", ""});
  return all;
}

TEST(ReportText, ABarForEachLayer) {
  EXPECT_EQ(layer_bars(record_of(2)),
            "relative error by layer, dB\n"
            "        0  -30.0 ####################\n"
            "        1  -20.0 ###########################\n");
  EXPECT_EQ(layer_bars(RunRecord()), "");
  RunRecord rounded = record_of(2);
  for (LinearRecord& linear : rounded.linears) linear.relative_error = -1;
  EXPECT_EQ(layer_bars(rounded), "");
  rounded.linears[0].relative_error = 0;
  EXPECT_THAT(layer_bars(rounded), EndsWith("        0  -60.0 \n"));
}

TEST(ReportText, ManyLayersShareLines) {
  const std::string text = layer_bars(record_of(80), 16);
  EXPECT_EQ(lines(text), 17);
  EXPECT_THAT(text, HasSubstr("      0-4 "));
  EXPECT_THAT(text, HasSubstr("    75-79 "));
  EXPECT_THAT(layer_bars(record_of(17), 16), HasSubstr("       16 "));  // the last bin has one layer
}

TEST(ReportText, SymptomsInWords) {
  const std::string text = symptoms_text(symptoms(), false);
  EXPECT_THAT(text, StartsWith("warning  a.b: evidence  (rule-0)\n  to do  advice\n"));
  EXPECT_THAT(text, HasSubstr("note     noted  (a-note)\n"));
  EXPECT_THAT(text, Not(HasSubstr("normal")));
  EXPECT_THAT(symptoms_text(symptoms(), true), HasSubstr("good     normal  (fine)\n"));
  EXPECT_EQ(symptoms_text({}, false), "nothing to do: no rule warns\n");
  EXPECT_EQ(lines(worst_symptoms_text(symptoms(), 3)), 6);
  EXPECT_EQ(worst_symptoms_text({{Severity::kNote, "a", "", "b", ""}}, 3), "");
}

TEST(ReportText, TheEndOfARunFitsOnAScreen) {
  const std::string summary = "one\ntwo\nthree\n";
  EXPECT_EQ(end_of_run(summary, record_of(80), {}, false), summary);
  for (const int64_t layers : {1, 6, 16, 17, 80, 126}) {
    const std::string text = end_of_run(summary, record_of(layers), symptoms(), true);
    EXPECT_LE(lines(text), 25) << layers;
    EXPECT_THAT(text, StartsWith("relative error by layer"));
    EXPECT_THAT(text, HasSubstr("rule-2"));
    EXPECT_THAT(text, Not(HasSubstr("rule-3")));
  }
}

}  // namespace
}  // namespace hesse
