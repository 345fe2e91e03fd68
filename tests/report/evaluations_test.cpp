// Results of `eval` and `compare`: JSON and the page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/json.h"
#include "report/compare_page.h"
#include "report/report.h"

namespace hesse {
namespace {

using testing::HasSubstr;

TEST(Results, Eval) {
  EvalResult r;
  r.perplexity = 30.5;
  r.mean_nll = 3.25;
  r.windows = 2;
  r.window = 512;
  r.predictions = 1022;
  r.seconds = 0.5;
  r.flops = 1e9;
  r.format = "full precision";
  EXPECT_EQ(Json::parse(to_json(r), "t").dump(),
            R"({"schema": "hesse-eval/1", "perplexity": 30.5, "mean_nll": 3.25, "windows": 2, "window": 512, )"
            R"("predictions": 1022, "seconds": 0.5, "flops": 1e+09, "format": "full precision", "compute": "f32", )"
            R"("name": "", "bos": false, "interval": null, "median_nll": 0.0, "trimmed_nll": 0.0, )"
            R"("bits_per_byte": null, "positions": [], "calibration_distance": null})");
}

TEST(Results, EvalAgainstAReferenceWithOthers) {
  EvalResult r;
  r.name = "a";
  r.interval = Interval{30, 31};
  r.positions = {{1, 1, 4.5, -1}, {2, 3, 4, 0.25}};
  r.blocks = {{0, 0.5, 0.75}};
  r.against = AgainstResult{.perplexity = 29, .kl = 0.5, .top1_agreement = 0.75, .name = "b", .perplexity_ratio = 1.5};
  r.against->kl_interval = Interval{0.25, 0.75};
  r.others.emplace_back().name = "c";
  const Json root = Json::parse(to_json(r), "t");
  EXPECT_EQ(root.find("interval")->dump(), "[30.0, 31.0]");
  EXPECT_EQ(root.find("positions")->dump(),
            R"([{"first": 1, "last": 1, "nll": 4.5, "kl": null}, {"first": 2, "last": 3, "nll": 4.0, "kl": 0.25}])");
  EXPECT_EQ(root.find("blocks")->dump(), R"([{"layer": 0, "kl": 0.5, "share": 0.75}])");
  EXPECT_EQ(root.find("against")->dump(),
            R"({"perplexity": 29.0, "kl": 0.5, "top1_agreement": 0.75, "name": "b", "perplexity_ratio": 1.5, )"
            R"("kl_median": 0.0, "kl_p99": 0.0, "ratio_interval": null, "kl_interval": [0.25, 0.75], )"
            R"("agreement_interval": null})");
  ASSERT_EQ(root.find("others")->as_array("t").size(), 1u);
  EXPECT_EQ(root.find("others")->as_array("t")[0].find("name")->dump(), "\"c\"");
}

TEST(Results, Tasks) {
  TasksResult r;
  r.tasks = {{"arc.jsonl", 4, 0.25, {{"m", "gptq", 0.5, {0.25, 0.75}, 1, {0.5, 1}, {{-1.5, -2}}}}}};
  EXPECT_EQ(
      Json::parse(to_json(r), "t").dump(),
      R"({"schema": "hesse-tasks/1", "tasks": [{"name": "arc.jsonl", "items": 4, "chance": 0.25, "models": )"
      R"([{"name": "m", "format": "gptq", "acc": 0.5, "acc_interval": [0.25, 0.75], "acc_norm": 1.0, )"
      R"("acc_norm_interval": [0.5, 1.0], "log_likelihoods": [[-1.5, -2.0]]}]}], "compute": "f32", "bos": false, "seconds": 0.0})");
}

CompareResult two_answers() {
  CompareResult r;
  r.models = {"a<b>", "c"};
  r.seed = 18446744073709551615u;
  r.prompts = {{"if x < 1 && y:", {{"one two", {1, 2}, "length", -1, -1}, {"one <script>x", {1, 3}, "length", 1, 4}}}};
  return r;
}

TEST(Results, Compare) {
  EXPECT_EQ(
      Json::parse(to_json(two_answers()), "t").dump(),
      R"({"schema": "hesse-compare/1", "models": ["a<b>", "c"], "prompts": [{"prompt": "if x < 1 && y:", "answers": )"
      R"([{"text": "one two", "ids": [1, 2], "stop": "length", "parts_at_token": null, "parts_at_byte": null}, )"
      R"({"text": "one <script>x", "ids": [1, 3], "stop": "length", "parts_at_token": 1, "parts_at_byte": 4}]}], )"
      R"("seed": 18446744073709551615, "seconds": 0.0})");
}

TEST(ComparePage, ShowsVotesWhereThereAreAny) {
  CompareResult voted = two_answers();
  EXPECT_EQ(compare_page(voted).find("Votes"), std::string::npos);
  voted.votes = {3, 1};
  EXPECT_THAT(compare_page(voted), HasSubstr("without knowing the names: 3 for a&lt;b&gt;, 1 for c.</p>"));
}

TEST(ComparePage, EscapesAndMarksWhereAnswersPart) {
  const std::string page = compare_page(two_answers());
  EXPECT_THAT(page, HasSubstr("<h2>if x &lt; 1 &amp;&amp; y:</h2>"));
  EXPECT_THAT(page, HasSubstr("<h3>a&lt;b&gt;</h3>"));
  EXPECT_THAT(page, HasSubstr("one <mark>&lt;script&gt;x</mark>"));
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("http"), std::string::npos);
  CompareResult ends = two_answers();
  ends.prompts[0].answers[1] = {"one", {1}, "end of text", 1, 3};
  EXPECT_THAT(compare_page(ends), HasSubstr("one<mark>(end)</mark>"));
  ends.prompts[0].answers[1].text = "caf\xE9";
  EXPECT_THAT(compare_page(ends), HasSubstr("\xEF\xBF\xBD"));
}

}  // namespace
}  // namespace hesse
