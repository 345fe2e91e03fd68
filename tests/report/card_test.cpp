#include "report/card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

RunRecord small_record() {
  RunRecord record;
  record.version = "0.1.0";
  record.format = "gptq";
  record.bits_per_weight = 4.25;
  record.calibration_sequences = 8;
  record.calibration_tokens = 4096;
  record.calibration_sources.resize(1);
  record.calibration_sources[0].name = "wiki.txt";
  record.linears.resize(2);
  record.linears[0].name = "model.layers.0.q";
  record.linears[0].relative_error = 0.01;
  record.linears[1].name = "model.layers.0.k";
  record.linears[1].relative_error = 0.03;
  record.seconds = 77.125;
  return record;
}

const CardFacts kFacts{.base_model = "org/base", .format = "gptq"};

TEST(Card, SaysHowItWasMadeAndHowToLoadIt) {
  const std::string card = card_of_run("# Base\n\nAbout it.\n", kFacts, small_record());
  EXPECT_THAT(card, StartsWith("# Base\n\nAbout it.\n\n<!-- hesse: quantization -->\n## Quantization\n"));
  EXPECT_THAT(card, AllOf(HasSubstr("org/base"), HasSubstr("8 sequences, 4096 tokens of wiki.txt"),
                          HasSubstr("| bits | 4, groups of 128, symmetric |"), HasSubstr("vllm serve PATH")));
  EXPECT_LT(card.find("model.layers.0.k"), card.find("model.layers.0.q")) << "the worst first";
  EXPECT_THAT(card, Not(HasSubstr("77"))) << "no times: equal runs have equal cards";
}

TEST(Card, SectionsReplaceThoseOfAnEarlierResult) {
  const std::string once = card_of_run("# Base\n", kFacts, small_record());
  EXPECT_EQ(card_of_run(once, kFacts, small_record()), once);
  const std::string converted = card_of_conversion(once, {.base_model = "org/base", .format = "awq"});
  EXPECT_THAT(converted,
              AllOf(HasSubstr("## Quantization"), HasSubstr("format `awq`"), Not(HasSubstr("format `gptq`"))));
  const size_t first = converted.find("## Loading");
  EXPECT_EQ(converted.find("## Loading", first + 1), std::string::npos);
}

TEST(Card, HeadersAreMadeOrCompleted) {
  const CardFacts hub{.base_model = "org/base", .format = "gptq", .hub = true};
  EXPECT_THAT(card_of_conversion("", hub), StartsWith("---\nbase_model: org/base\nlibrary_name: transformers\n"));
  EXPECT_THAT(card_of_conversion("---\nlicense: mit\n---\n# Base\n", hub),
              StartsWith("---\nlicense: mit\nbase_model: org/base\n---\n# Base\n"));
  const std::string known = "---\nbase_model: other/one\n---\n# Base\n";
  EXPECT_THAT(card_of_conversion(known, hub), StartsWith(known));
  EXPECT_THAT(card_of_conversion("---\nlicense: mit\n---\n", kFacts), Not(HasSubstr("base_model")));
  EXPECT_THAT(card_of_conversion("---\nno end", hub), StartsWith("---\nbase_model: org/base"));
}

TEST(Card, LoadersOfTheFormat) {
  const auto card = [](const char* format) { return card_of_conversion("", {.base_model = "b", .format = format}); };
  EXPECT_THAT(card("compressed-tensors"), HasSubstr("transformers with `compressed-tensors`"));
  EXPECT_THAT(card("awq"), HasSubstr("`gptqmodel`"));
  EXPECT_THAT(card("bf16"), HasSubstr("transformers:\n"));
}

}  // namespace
}  // namespace hesse
