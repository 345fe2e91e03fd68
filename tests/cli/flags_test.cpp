#include "cli/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <sstream>

#include "hesse/options.h"

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The options that `words`, separated by spaces, stand for; problems go to `problems`.
template <class Options>
Options parse(const std::string& words, std::vector<std::string>* problems = nullptr, Manner* manner = nullptr) {
  Options options;
  Manner own;
  Flags flags({"test", "a test", "MODEL", ""});
  flags.add_model(options.model);
  flags.add_options(options);
  flags.add_manner(manner != nullptr ? *manner : own);
  std::istringstream stream(words);
  const std::vector<std::string> arguments{std::istream_iterator<std::string>(stream), {}};
  EXPECT_TRUE(flags.parse(arguments));
  if (problems != nullptr) {
    *problems = flags.problems();
  } else {
    EXPECT_THAT(flags.problems(), IsEmpty()) << words;
  }
  return options;
}

std::vector<std::string> refusal(const std::string& words) {
  try {
    std::vector<std::string> problems;
    parse<QuantizeOptions>(words, &problems);
    return problems;
  } catch (const UsageError& error) {
    EXPECT_EQ(error.command, "test");
    return error.problems;
  }
}

// Every option as "name value", in the order of the visitor.
template <class Options>
std::vector<std::string> echo(const Options& options) {
  std::vector<std::string> all;
  visit_options(options,
                [&](std::string_view name, const auto& field, std::string_view) { all.push_back(spell(name, field)); });
  return all;
}

TEST(Flags, WithoutFlagsEveryDefaultStays) {
  EXPECT_EQ(echo(parse<QuantizeOptions>("M")), echo(QuantizeOptions()));
  EXPECT_EQ(echo(parse<EvalOptions>("M")), echo(EvalOptions()));
  EXPECT_EQ(echo(parse<GenerateOptions>("M")), echo(GenerateOptions()));
  EXPECT_EQ(parse<EvalOptions>("M").model, "M");
}

TEST(Flags, EachTypeIsRead) {
  const auto o = parse<QuantizeOptions>(
      "M --output O --calib a b --bits 3 --group-size -1 --asym --method rtn --calib c --seed 18446744073709551615 "
      "--damp 2.5e-3 --order file --sweeps 7 --positive-scales --bos auto --shard-size=0.5 --threads 2");
  EXPECT_EQ(o.output, "O");
  EXPECT_THAT(o.calibration, ElementsAre("a", "b", "c"));
  EXPECT_EQ(o.bits, 3);
  EXPECT_EQ(o.group_size, -1);
  EXPECT_FALSE(o.symmetric);
  EXPECT_EQ(o.method, "rtn");
  EXPECT_EQ(o.seed, 18446744073709551615u);
  EXPECT_EQ(o.damping, 2.5e-3);
  EXPECT_EQ(o.order, "file");
  EXPECT_EQ(o.sweeps, 7);
  EXPECT_TRUE(o.positive_scales);
  EXPECT_EQ(o.bos, "auto");
  EXPECT_EQ(o.shard_size, 0.5);
  EXPECT_EQ(o.threads, 2);
  EXPECT_FALSE(o.overwrite);
}

// What the tool echoes is what it would read: spelled options parse back to themselves.
TEST(Flags, SpellingParsesBack) {
  QuantizeOptions o;
  o.as = "llama";
  o.output = "O";
  o.calibration = {"a", "b"};
  o.recipe = "r.toml";
  o.measurement = "m.json";
  o.layers = "0-3,8";
  o.redo = {"a.b", "c"};
  o.symmetric = false;
  o.order = "activation";
  o.strict = true;
  o.positive_scales = true;
  o.damping = 0.1 + 0.2;
  o.seed = 18446744073709551615u;
  std::string words = "M";
  for (const std::string& flag : echo(o)) words += ' ' + flag;
  EXPECT_EQ(echo(parse<QuantizeOptions>(words)), echo(o));
  EXPECT_EQ(spell("prompt", std::string("it's [a] b")), "--prompt 'it'\\''s [a] b'");
}

TEST(Flags, SeveralModelsStandBeforeTheFlags) {
  EvalOptions options;
  Flags flags({"test", "a test", "MODEL...", ""});
  flags.add_models(options.model, options.others);
  flags.add_options(options);
  EXPECT_TRUE(flags.parse({"A", "B", "C", "--text", "t", "--windows", "3"}));
  EXPECT_THAT(flags.problems(), IsEmpty());
  EXPECT_EQ(options.model, "A");
  EXPECT_THAT(options.others, ElementsAre("B", "C"));
  EXPECT_THAT(options.text, ElementsAre("t"));
}

TEST(Flags, AWordStandsForANumber) {
  EXPECT_EQ(parse<QuantizeOptions>("M --damp auto").damping, 0);
  EXPECT_EQ(parse<QuantizeOptions>("M --group-size auto").group_size, 0);
  EXPECT_EQ(spell("group-size", int64_t{0}), "--group-size auto");
  EXPECT_EQ(spell("group-size", int64_t{-1}), "--group-size -1");
  EXPECT_EQ(spell("sweeps", int64_t{0}), "--sweeps 0");
  EXPECT_EQ(spell("damp", 0.0), "--damp auto");
  EXPECT_EQ(spell("damp", 0.05), "--damp 0.05");
  EXPECT_EQ(spell("shift", 0.0), "--shift 0");
}

TEST(Flags, TheLastArgumentIsTheModelEvenAfterAList) {
  const auto o = parse<QuantizeOptions>("-o O --calib a b M");
  EXPECT_EQ(o.model, "M");
  EXPECT_THAT(o.calibration, ElementsAre("a", "b"));
}

TEST(Flags, AListThatTookTheModelIsNamed) {
  EXPECT_THAT(refusal("--calib a M -o O"), ElementsAre(HasSubstr("put MODEL first")));
}

TEST(Flags, PromptsAreTakenAsTheyAre) {
  for (const char* prompt : {"[INST] hi [/INST]", "- a list", "--- a rule", "", "a\nb", "-1"}) {
    GenerateOptions options;
    Flags flags({"test", "", "", ""});
    flags.add_model(options.model);
    flags.add_options(options);
    EXPECT_TRUE(flags.parse({"M", "--prompt", prompt}));
    EXPECT_THAT(flags.problems(), IsEmpty());
    EXPECT_EQ(options.prompt, prompt);
  }
}

TEST(Flags, BadValuesAreCollected) {
  EXPECT_THAT(refusal("M --bits four --seed -1 --damp 0,1 --threads 99999999999 --samples 1e3 --length 4.0"),
              testing::UnorderedElementsAre(HasSubstr("--bits 'four'"), HasSubstr("--seed '-1'"),
                                            HasSubstr("--damp '0,1'"), HasSubstr("--threads '99999999999'"),
                                            HasSubstr("--samples '1e3'"), HasSubstr("--length '4.0'")));
  EXPECT_THAT(refusal("M --bits 4 --bits 3"), ElementsAre("--bits is given 2 times"));
  EXPECT_THAT(refusal("M --calib --bits 4"), ElementsAre("--calib needs a value before --bits"));
  EXPECT_THAT(refusal("M --bits"), ElementsAre("--bits needs a value"));
}

TEST(Flags, UnknownFlagsAreErrorsWithAGuess) {
  EXPECT_THAT(refusal("M --bitz 4"), ElementsAre("unknown flag '--bitz'; did you mean --bits?"));
  EXPECT_THAT(refusal("M --frobnicate=7"), ElementsAre("unknown flag '--frobnicate'"));
  EXPECT_THAT(refusal("M -q"), ElementsAre("unknown flag '-q'"));
  EXPECT_THAT(refusal("M N"), ElementsAre("unexpected argument 'N'"));
}

TEST(Flags, QuietAndVerboseExcludeEachOther) {
  Manner manner;
  parse<EvalOptions>("M --json --verbose", nullptr, &manner);
  EXPECT_TRUE(manner.json && manner.verbose && !manner.quiet);
  EXPECT_THAT(refusal("M --quiet --verbose"), ElementsAre(HasSubstr("--quiet")));
}

TEST(Flags, HelpStopsTheParsing) {
  EvalOptions options;
  Flags flags({"test", "a test", "MODEL", "  an example\n"});
  flags.add_model(options.model);
  flags.add_options(options);
  EXPECT_FALSE(flags.parse({"--text", "a", "--help"}));
  EXPECT_THAT(flags.help(), HasSubstr("an example"));
  EXPECT_THAT(flags.help(), HasSubstr("--window N                tokens a window; windows do not overlap [512]\n"));
}

}  // namespace
}  // namespace hesse
