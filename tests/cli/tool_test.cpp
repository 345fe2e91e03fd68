// The tool as a user meets it, as far as no model is needed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>

#include "hesse/options.h"
#include "tool_process.h"

namespace hesse {
namespace {

using testing::HasSubstr;

ToolOutcome standard_output(const std::string& arguments) { return run_tool(arguments, "2>/dev/null"); }
ToolOutcome standard_error(const std::string& arguments) { return run_tool(arguments, "2>&1 >/dev/null"); }

template <class Options>
void expect_help_names_every_option(const std::string& command) {
  const ToolOutcome help = standard_output(command + " --help");
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("Examples:\n  hesse " + command));
  EXPECT_THAT(help.out, HasSubstr("130  interrupted"));
  Options options;
  int flags = 0;
  visit_options(options, [&](std::string_view name, auto&, std::string_view text) {
    const std::string plain = "--" + std::string(name) + " ";
    const std::string listed = "--" + std::string(name) + ",";
    const std::string either = "--[no-]" + std::string(name) + " ";
    EXPECT_TRUE(help.out.find(plain) != std::string::npos || help.out.find(listed) != std::string::npos ||
                help.out.find(either) != std::string::npos)
        << command << " --" << name;
    EXPECT_THAT(help.out, HasSubstr(std::string(text.substr(0, text.find(' ')))));
    ++flags;
  });
  EXPECT_GT(flags, 0);
  for (const char* common : {"--json", "--quiet", "--verbose"}) EXPECT_THAT(help.out, HasSubstr(common));
}

TEST(Tool, HelpNamesEveryOption) {
  expect_help_names_every_option<QuantizeOptions>("quantize");
  expect_help_names_every_option<CheckOptions>("check");
  expect_help_names_every_option<EvalOptions>("eval");
  expect_help_names_every_option<GenerateOptions>("generate");
  expect_help_names_every_option<CompareOptions>("compare");
  expect_help_names_every_option<BenchOptions>("bench");
  expect_help_names_every_option<DataOptions>("data");
  expect_help_names_every_option<TokenizeOptions>("tokenize");
  expect_help_names_every_option<DiagnoseOptions>("diagnose");
  expect_help_names_every_option<ReportOptions>("report");
  EXPECT_THAT(standard_output("inspect -h").out, HasSubstr("hesse inspect MODEL"));
}

TEST(Tool, HelpShowsDefaults) {
  const std::string help = standard_output("quantize --help").out;
  for (const char* text : {"[4]", "[128]", "[--sym]", "[gptq]", "[0.01]", "[groups]", "[never]"}) {
    EXPECT_THAT(help, HasSubstr(text));
  }
}

TEST(Tool, AloneItTeachesByExample) {
  for (const char* arguments : {"", "--help", "-h"}) {
    const ToolOutcome outcome = standard_output(arguments);
    EXPECT_EQ(outcome.code, 0);
    for (const char* text : {"hesse check", "hesse quantize", "hesse eval", "hesse inspect", "hesse generate",
                             "hesse bench", "Exit codes:"}) {
      EXPECT_THAT(outcome.out, HasSubstr(text));
    }
  }
  EXPECT_EQ(standard_output("--version").out, std::string("hesse ") + HESSE_VERSION + "\n");
}

// One line a problem, on standard error, and exit code 2.
TEST(Tool, UsageErrorsLeaveWithTwo) {
  const struct {
    const char* arguments;
    const char* text;
  } cases[] = {
      {"quantise", "unknown command 'quantise'; did you mean quantize? (see hesse --help)"},
      {"--bits 4", "'--bits' stands before a command"},
      {"quantize M -o O --calib c --bitz 3", "unknown flag '--bitz'; did you mean --bits? (see hesse quantize --help)"},
      {"quantize M -o O --calib c --bits 5", "bits is 5; must be 2, 3, 4 or 8"},
      {"quantize M -o O --calib c --bits", "--bits needs a value"},
      {"quantize M -o O --calib c --bits four", "--bits 'four': expected a whole number"},
      {"quantize M -o M/ --calib c", "output is 'M/', the model itself"},
      {"quantize M -o O", "calib is missing"},
      {"quantize M N -o O --calib c", "unexpected argument 'N'"},
      {"check", "model is missing"},
      {"check M --bits 5", "bits is 5; must be 2, 3, 4 or 8"},
      {"eval M", "text is missing"},
      {"eval --text c", "model is missing"},
      {"eval M N --text c --attribute --against R", "attribute is for one model; 2 are given"},
      {"eval M N --text c --bits 4", "unknown flag '--bits'"},
      {"compare M --prompts p", "model: one is given; name two or more to compare"},
      {"compare M N --prompts p --blind </dev/null", "blind needs a terminal to ask for votes on"},
      {"compare M N --prompts p --blind --json", "blind asks for votes; leave --json out"},
      {"eval M --text c --quiet --verbose", "excludes"},
      {"generate M --prompt x --top-p 2", "top-p is 2"},
      {"inspect", "model is missing"},
      {"report", "model is missing"},
      {"report A B --eval c", "eval has 1 files for 2 results"},
      {"diagnose", "model is missing"},
      {"bench --preset quick", "preset is 'quick'; must be fast, balanced, best or classic"},
      {"bench M", "unexpected argument 'M'"},
  };
  for (const auto& test : cases) {
    const ToolOutcome outcome = standard_error(test.arguments);
    EXPECT_EQ(outcome.code, 2) << test.arguments;
    EXPECT_EQ(outcome.out.rfind("hesse: error: ", 0), 0u) << outcome.out;
    EXPECT_THAT(outcome.out, HasSubstr(test.text));
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
    EXPECT_EQ(standard_output(test.arguments).out, "") << test.arguments;
  }
}

TEST(Tool, AllProblemsAreToldTogether) {
  const ToolOutcome outcome = standard_error("quantize --bits four --samples 0 --method awq");
  EXPECT_EQ(outcome.code, 2);
  for (const char* text :
       {"--bits 'four'", "samples is 0", "method is 'awq'", "model is missing", "output is missing"}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 5) << outcome.out;
}

TEST(Tool, AFullStandardOutputIsAnErrorOfTheEnvironment) {
  const ToolOutcome outcome = run_tool("--help", "2>&1 >/dev/full");
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.out, HasSubstr("standard output"));
}

// A preset sets the other flags; what stands beside it on the command line wins, before it or behind it.
TEST(Tool, TokenizeShowsWhatDecodesToTheText) {
  const std::string demo = std::string("tokenize '") + HESSE_SOURCE_DIR + "/models/tiny-llama' ";
  const std::string text = "Hello w\u00f6rld, \u4e16\u754c";
  const ToolOutcome table = standard_output(demo + "--no-special --text '" + text + "'");
  EXPECT_EQ(table.code, 0);
  std::istringstream lines(table.out);
  std::string ids, line;
  int64_t end = 0;
  for (std::getline(lines, line); std::getline(lines, line);) {
    int64_t id = 0, first = 0, last = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "%" SCNd64 " %" SCNd64 " to %" SCNd64, &id, &first, &last), 3) << line;
    EXPECT_LE(first, end) << line;  // bytes of one character have the whole of it
    EXPECT_GE(last, end) << line;
    end = last;
    ids += std::to_string(id) + " ";
  }
  EXPECT_EQ(end, static_cast<int64_t>(text.size()));
  EXPECT_THAT(standard_output(demo + "--decode '" + ids + "'").out, HasSubstr(text));
  EXPECT_THAT(standard_error(demo + "--decode 99999").out, HasSubstr("no token has the id 99999; the largest is 4095"));
  EXPECT_EQ(standard_output(demo).code, 2);
}

TEST(Tool, FlagsOverrideTheirPreset) {
  for (const char* flags : {"--preset classic --sweeps 3", "--sweeps 3 --preset=classic"}) {
    const ToolOutcome help = standard_output(std::string("quantize ") + flags + " --help");
    EXPECT_EQ(help.code, 0);
    for (const char* text : {"[minmax]", "[file]", "[0.01]", "[--positive-scales]"})
      EXPECT_THAT(help.out, HasSubstr(text));
  }
  EXPECT_THAT(standard_output("quantize --preset best --help").out, HasSubstr("calibration windows [256]"));
  EXPECT_THAT(standard_output("quantize --damp auto --help").out, HasSubstr("held-out text [0.01]"));
  const ToolOutcome unknown = standard_error("quantize M -o O --calib t --preset quick");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.out, HasSubstr("must be fast, balanced, best or classic"));
}

}  // namespace
}  // namespace hesse
