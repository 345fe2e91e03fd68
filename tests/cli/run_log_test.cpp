#include "cli/run_log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "cli/console.h"

namespace hesse {
namespace {

LinearRecord linear(const std::string& name, LinearStatus status) {
  LinearRecord record;
  record.name = name;
  record.bits = 4;
  record.group_size = 128;
  record.in = 768;
  record.status = status;
  record.relative_error = 0.004;
  record.rtn_relative_error = 0.02;
  record.damping = 0.01;
  return record;
}

RunRecord record_of_a_run() {
  RunRecord record;
  record.options.output = "out/tiny-4bit";
  record.format = "gptq";
  record.output_bytes = 3'456'789;
  record.bits_per_weight = 4.15625;
  record.seconds = 187;
  record.peak_memory_bytes = 123'456'789;
  record.linears = {linear("a.q_proj", LinearStatus::kOk), linear("a.k_proj", LinearStatus::kOk)};
  return record;
}

TEST(RunLog, LineOfALinear) {
  EXPECT_EQ(linear_line(linear("a.q_proj", LinearStatus::kOk)),
            "a.q_proj  4 bits/128  error 0.4 %, keeps 20 % of RTN's error  lambda 0.01  ok");
  LinearRecord fallback = linear("a.q_proj", LinearStatus::kFallback);
  fallback.failed_minor = 17;
  fallback.group_size = -1;
  EXPECT_EQ(
      linear_line(fallback),
      "a.q_proj  4 bits/row  error 0.4 %, keeps 20 % of RTN's error  lambda 0.01  fallback\n"
      "    failed-late-minor: the factorization failed at minor 17 of 768: too few or too similar tokens, or rounding\n"
      "    fallback: the Hessian has no factor; rounded to nearest");
}

TEST(RunLog, WithoutCalibrationNoErrorIsInvented) {
  LinearRecord plain;
  plain.name = "a.q_proj";
  plain.bits = 4;
  plain.group_size = 64;
  EXPECT_EQ(linear_line(plain), "a.q_proj  4 bits/64  ok");
  RunRecord record = record_of_a_run();
  record.linears = {plain};
  EXPECT_NE(summary_text(record).find("not measured"), std::string::npos);
}

TEST(RunLog, SummaryTellsHowTheTextFellToExperts) {
  RunRecord record = record_of_a_run();
  EXPECT_EQ(summary_text(record).find("experts"), std::string::npos);
  record.calibration_tokens = 100;
  record.linears.clear();
  for (const auto& [expert, tokens] : {std::pair(0, 30), {1, 0}, {2, 120}, {3, 50}}) {
    record.linears.push_back(linear("e", LinearStatus::kOk));
    record.linears.back().expert = expert;
    record.linears.back().tokens = tokens;
  }
  EXPECT_NE(
      summary_text(record).find("experts         1 of 4 without a token; the others got 30 to 120, the middle one "
                                "50\n"),
      std::string::npos)
      << summary_text(record);
}

TEST(RunLog, SaysWhereAnInterruptedRunGoesOn) {
  const auto line = [](const Resumed& resumed) {
    RunLog log(Manner{});
    testing::internal::CaptureStderr();
    log.on_resumed(resumed);
    EXPECT_EQ(log.linears_done(), resumed.linears);
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(line({.linears = 17, .of = 42, .layer = 2, .first_layer = 2}),
            "resumed  17 of 42 linears were done before; going on in layer 3\n");
  EXPECT_EQ(line({.linears = 17, .of = 42, .layer = 2, .first_layer = 0}),
            "resumed  17 of 42 linears were done before; going on in layer 3, behind forward passes from layer 1\n");
  EXPECT_EQ(line({.linears = 42, .of = 42, .layer = 6, .first_layer = 6}),
            "resumed  42 of 42 linears were done before\n");
  RunRecord record = record_of_a_run();
  record.resumed = 2;
  record.seconds_before = 60;
  EXPECT_NE(summary_text(record).find("time            3 min 07 s, and 1 min 00 s before it was resumed"),
            std::string::npos)
      << summary_text(record);
}

TEST(RunLog, SummaryOfACleanRun) {
  EXPECT_EQ(summary_text(record_of_a_run()),
            "result          out/tiny-4bit (gptq)\n"
            "size            3.46 MB, 4.156 bits a weight in 2 quantized linears\n"
            "relative error  0.4 %, keeps 20 % of RTN's error\n"
            "time            3 min 07 s\n"
            "peak memory     123 MB\n"
            "fallbacks       0\n");
}

TEST(RunLog, ThePredictionIsToldBeforeAndAfter) {
  testing::internal::CaptureStderr();
  { RunLog(Manner{}).on_prediction({.seconds = 230, .peak_memory_bytes = 130000000}); }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "plan     about 3 min 50 s and 130 MB of memory\n");
  RunRecord record = record_of_a_run();
  record.predicted_seconds = 230;
  record.predicted_peak_memory_bytes = 130000000;
  EXPECT_NE(summary_text(record).find("time            3 min 07 s (predicted 3 min 50 s)\n"
                                      "peak memory     123 MB (predicted 130 MB)\n"),
            std::string::npos);
}

TEST(RunLog, SummaryEndsWithTheNamesOfFallbacks) {
  RunRecord record = record_of_a_run();
  record.warnings = {"w"};
  record.linears[0].status = LinearStatus::kDampingRaised;
  record.linears[0].factorizations = 3;
  record.linears[1].tokens = 64;
  for (int i = 0; i < 10; ++i) record.linears.push_back(linear(fmt::format("b{}", i), LinearStatus::kFallback));
  const std::string text = summary_text(record);
  for (const char* line :
       {"warnings        1\n", "few-tokens      1 linear, the first a.k_proj: 64 tokens for 768 channels: ",
        "damping-raised  1 linear, the first a.q_proj: lambda was raised 2 times, to 0.01 of mean diag(H)\n",
        "fallback        10 linears, the first b0: "}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  EXPECT_TRUE(text.ends_with("fallbacks       10, not solved: b0, b1, b2, b3, b4, b5, b6, b7 and 2 more\n")) << text;
}

// Standard error is no terminal in a test run with redirected output: captured here, it must be plain lines.
TEST(RunLog, PlainLogIsOneLineALayerWithoutCarriageReturns) {
  testing::internal::CaptureStderr();
  {
    RunLog log(Manner{});
    for (int layer = 0; layer < 3; ++layer) {
      const std::string what = fmt::format("layer {} of 3", layer + 1);
      for (int i = 0; i < 4; ++i) {
        log.on_progress({what, (layer * 4 + i) / 12.0, -1});
        LinearRecord record = linear("l", LinearStatus::kOk);
        record.layer = layer;
        log.on_linear(record);
      }
    }
    log.finish_layer();
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4) << text;  // the beginning of the first, the end of each
  for (const char* line : {"layer 1 of 3 (0 %", "layer 1 of 3: 4 linears, relative error 0.4 %, keeps 20 % of RTN's",
                           "layer 2 of 3: 4 linears", "layer 3 of 3: 4 linears"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

TEST(RunLog, ATroubleIsToldWhenItIsFirstMet) {
  testing::internal::CaptureStderr();
  {
    RunLog log(Manner{});
    for (const char* name : {"a", "b", "c"}) {
      LinearRecord record = linear(name, LinearStatus::kOk);
      record.tokens = name[0] == 'a' ? 1000 : 64;  // of 768
      log.on_linear(record);
    }
    log.finish_layer();
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("  few-tokens: b: 64 tokens for 768 channels"), std::string::npos) << text;
  EXPECT_EQ(text.find("few-tokens"), text.rfind("few-tokens")) << text;
}

TEST(RunLog, QuietSaysNothing) {
  testing::internal::CaptureStderr();
  {
    RunLog log(Manner{.quiet = true});
    log.on_prediction({.seconds = 1, .peak_memory_bytes = 1});
    log.on_progress({"layer 1 of 1", 0, -1});
    log.on_linear(linear("l", LinearStatus::kFallback));
    log.on_warning("short text");
    log.finish_layer();
    log.summary("summary\n");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace hesse
