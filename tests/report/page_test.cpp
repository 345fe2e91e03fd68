#include "report/page.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "report/html.h"
#include "report/plots.h"
#include "report/report.h"
#include "report/small_record.h"

namespace hesse {
namespace {

using testing::HasSubstr;
using testing::Not;

RunRecord large_record(int64_t layers) {
  RunRecord record = small_record();
  const LinearRecord model = record.linears.front();
  record.linears.clear();
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
      LinearRecord linear = model;
      linear.name = fmt::format("model.layers.{}.{}", layer, name);
      linear.layer = layer;
      linear.relative_error = 0.0012345678901234 * static_cast<double>(layer + 1);
      linear.largest_activation = 3.0000001234567 + static_cast<double>(layer);
      record.linears.push_back(linear);
    }
  }
  return record;
}

std::string page_of_record(const RunRecord& record) {
  return page_of({{.name = "tiny-4bit", .record = record, .evaluation = {}, .record_json = to_json(record)}});
}

// Every element that is opened is closed in its order; those without content close themselves.
void expect_balanced(const std::string& page) {
  std::vector<std::string> open;
  for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    size_t end = at;
    for (bool quoted = false; end < page.size() && (quoted || page[end] != '>'); ++end) quoted ^= page[end] == '"';
    const std::string tag = page.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" \n"));
    at = end;
    if (name == "!DOCTYPE" || name == "meta" || name == "link" || tag.ends_with('/')) continue;
    if (name[0] != '/') {
      open.push_back(name);
      if (name == "script") at = page.find("</script>", at) - 1;
      continue;
    }
    ASSERT_FALSE(open.empty()) << name;
    ASSERT_EQ("/" + open.back(), name);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty()) << open.back();
}

TEST(Page, SaysWhatTheRecordSays) {
  PageRun run{.name = "tiny-4bit", .record = large_record(6), .evaluation = EvalResult{}, .record_json = "{}"};
  run.record.inputs.push_back({"model.safetensors", 11'500'000, "ff"});
  run.evaluation->perplexity = 31.5;
  run.evaluation->against = AgainstResult{30, 0.0123, 0.95};
  const std::string page = page_of({run});
  for (const char* text : {"<!DOCTYPE html>", "<html lang=\"en\">", "tiny, 4 bits", "2 kB of 11.5 MB", "31.5 of 30<",
                           "<dd>+5 %</dd>", "0.0123", "nonfinite-activations", "mlp.down_proj", "rounding to nearest",
                           "Scripts", "Latin 90 %", "group_size", "vllm serve PATH", "prefers-color-scheme:dark",
                           "@media print", "<caption>", "role=\"img\"><title>"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  expect_balanced(page);
}

TEST(Page, ShowsIntervalsAndWhichBlocksCauseWhat) {
  PageRun run{.name = "tiny-4bit", .record = large_record(6), .evaluation = EvalResult{}, .record_json = {}};
  run.evaluation->perplexity = 31.5;
  run.evaluation->interval = Interval{30.25, 33};
  run.evaluation->against = AgainstResult{30, 0.0123, 0.95};
  run.evaluation->against->ratio_interval = Interval{1.04, 1.0625};
  run.evaluation->against->kl_interval = Interval{0.0111, 0.0133};
  for (int64_t layer = 0; layer < 30; ++layer)
    run.evaluation->blocks.push_back({layer, 0.01, layer == 17 ? 0.25 : 0.01 * static_cast<double>(layer % 4)});
  const std::string page = page_of({run});
  for (const char* text : {">30.25 to 33.00<", ">4.00 to 6.25<", ">0.0111 to 0.0133<", "its 95 % interval",
                           "Which blocks it costs most", "<th scope=\"row\">17</th><td>25.00</td>", "layer 17: 25 %"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  expect_balanced(page);
  run.evaluation->blocks.clear();
  EXPECT_THAT(page_of({run}), Not(HasSubstr("Which blocks")));
}

TEST(Page, ShowsTheWeightErrorsOfTheWorst) {
  RunRecord record = large_record(4);
  EXPECT_THAT(page_of_record(record), Not(HasSubstr("Errors of single weights")));
  for (LinearRecord& linear : record.linears) {
    linear.weight_errors.assign(kErrorBins + 2, 0);
    linear.weight_errors[kErrorBins / 2 + 1] = 900;
    linear.weight_errors.back() = 100;
  }
  keep_worst_weight_errors(record);
  const std::string page = page_of_record(record);
  for (const char* text : {"Errors of single weights", ">3: mlp.down_proj</text>",
                           "<title>-0.06 to 0.06 steps: 90 %</title>", "<title>above 1.5 steps: 10 %</title>"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  EXPECT_THAT(page, Not(HasSubstr(">2: mlp.down_proj</text>")));
  expect_balanced(page);
}

TEST(Page, NeedsNoNetwork) {
  const std::string page = page_of_record(large_record(3));
  for (const char* text : {"http:", "https:", "//cdn", "@import", "url(", "src="})
    EXPECT_THAT(page, Not(HasSubstr(text)));
}

TEST(Page, OfEightyLayersStaysBelowAMegabyte) {
  RunRecord record = large_record(80);
  for (LinearRecord& linear : record.linears) linear.weight_errors.assign(kErrorBins + 2, 1234567);
  record.calibration->token_buckets.assign(256, 12345);
  keep_worst_weight_errors(record);
  PageRun run{.name = "tiny-4bit", .record = record, .evaluation = EvalResult{}, .record_json = to_json(record)};
  for (int64_t layer = 0; layer < 80; ++layer) run.evaluation->blocks.push_back({layer, 0.0123456789, 0.0123456789});
  const std::string page = page_of({run});
  EXPECT_LT(page.size(), 1'000'000u);
  EXPECT_THAT(page, HasSubstr("data:application/json;base64,"));
  expect_balanced(page);
}

TEST(Page, HoldsAnyNumberOfExperts) {
  RunRecord record = large_record(2);
  for (int64_t expert = 0; expert < 4000; ++expert) {
    LinearRecord linear = record.linears.front();
    linear.layer = 1;
    linear.name = fmt::format("model.layers.1.mlp.experts.{}.up_proj", expert);
    linear.expert = expert;
    record.linears.push_back(linear);
  }
  const std::string page = page_of_record(record);
  EXPECT_LT(page.size(), 1'000'000u);
  EXPECT_THAT(page, HasSubstr("<code>hesse-run.json</code> beside the weights"));
  EXPECT_THAT(page, HasSubstr("mlp.experts.*.up_proj"));
}

// What a name can hold is shown and never acts.
TEST(Page, HostileNamesAreText) {
  const std::string evil = "<script>alert(1)</script>\" onload='x' & \xFF\n";
  RunRecord record = large_record(3);
  record.model_name = record.family = record.format = record.processor = record.libraries = record.version = evil;
  record.options.method = evil;
  record.options.calibration = {evil};
  record.calibration_sources[0].name = record.calibration_sources[0].kind = evil;
  record.calibration->scripts[0].name = evil;
  record.phases[0].name = evil;
  for (LinearRecord& linear : record.linears) {
    linear.name += evil;
    linear.weight_errors.assign(kErrorBins + 2, 1);
  }
  record.tokenizer_trial->text = evil;
  record.tokenizer_trial->nll = 9;
  const PageRun run{.name = evil, .record = record, .evaluation = {}, .record_json = to_json(record)};
  for (const std::string& page : {page_of({run}), page_of({run, run})}) {
    EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
    EXPECT_THAT(page, Not(HasSubstr("onload='x'")));
    EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)"));
    expect_balanced(page);
  }
}

TEST(Page, ComparesRunsWithTheFirst) {
  PageRun first{.name = "four", .record = large_record(4), .evaluation = {}, .record_json = {}};
  PageRun second = first;
  second.name = "three";
  second.record.options.bits = 3;
  second.record.output_bytes = 1500;
  const std::string page = page_of({first, second});
  for (const char* text : {"2 runs of tiny", "1.5 kB <span class=\"soft\">(-25 %)</span>", "Options that differ",
                           "<th scope=\"row\">bits</th><td>4</td><td>3</td>"}) {
    EXPECT_THAT(page, HasSubstr(text));
  }
  EXPECT_THAT(page, Not(HasSubstr("<th scope=\"row\">sym</th>")));
  expect_balanced(page);
}

TEST(Page, OfNothingMeasuredIsStillAPage) {
  RunRecord record;
  expect_balanced(page_of_record(record));
  record = large_record(2);
  for (LinearRecord& linear : record.linears) {
    linear.relative_error = linear.rtn_relative_error = linear.held_out_error = linear.loss = -1;
    linear.condition = std::numeric_limits<double>::quiet_NaN();
  }
  record.bits_per_weight = std::numeric_limits<double>::quiet_NaN();
  const std::string page = page_of_record(record);
  expect_balanced(page);
  EXPECT_THAT(page, Not(HasSubstr("nan")));
}

TEST(Html, EscapesAndCounts) {
  EXPECT_EQ(escaped("a<b>&\"'\n\x01"), "a&lt;b&gt;&amp;&quot;&#39;  ");
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(shown_bytes(999), "999 B");
  EXPECT_EQ(shown_bytes(11'500'000), "11.5 MB");
  EXPECT_EQ(shown_seconds(187), "3 min 7 s");
  EXPECT_EQ(shown_percent(-1), "\xE2\x80\x93");
}

TEST(Plots, GapsBreakCurvesAndNothingIsEmpty) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(svg(Plot{"t", "dB", {{"a", {nan, nan}}}, {"0", "1"}}), "");
  EXPECT_EQ(svg(HeatMap{"t", "dB", {"0"}, {"a"}, {{nan}}}), "");
  EXPECT_EQ(svg(Histograms{"t", "steps", 1, {}}), "");
  EXPECT_EQ(svg(Histograms{"t", "steps", 1, {{"a", {0, 0, 0}}, {"b", {}}}}), "");
  const std::string plot = svg(Plot{"t", "dB", {{"a", {1, nan, 2, 3}}}, {"0", "1", "2", "3"}});
  const size_t path = plot.find("<path class=\"s0\" d=\"");
  const std::string d = plot.substr(path, plot.find("/>", path) - path);
  EXPECT_EQ(std::count(d.begin(), d.end(), 'M'), 2);
  EXPECT_EQ(std::count(d.begin(), d.end(), 'L'), 1);
}

}  // namespace
}  // namespace hesse
