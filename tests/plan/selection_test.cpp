#include "plan/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hesse/error.h"
#include "io/test_files.h"

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

LayerStages four_layers() {
  LayerStages stages;
  for (int layer = 0; layer < 4; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    stages.push_back(
        {{"qk", false, {{at + "attn.q", 4, 4}, {at + "attn.k", 4, 4}}}, {"up", false, {{at + "mlp.up", 4, 4}}}});
  }
  return stages;
}

TEST(ParseLayers, ReadsNumbersAndRanges) {
  const auto spans = [](std::string_view text) {
    std::vector<std::pair<int64_t, int64_t>> found;
    for (const LayerRange& range : parse_layers(text)) found.emplace_back(range.first, range.last);
    return found;
  };
  using Span = std::pair<int64_t, int64_t>;
  EXPECT_THAT(spans("0"), ElementsAre(Span(0, 0)));
  EXPECT_THAT(spans("0-3,8,10-10"), ElementsAre(Span(0, 3), Span(8, 8), Span(10, 10)));
}

TEST(ParseLayers, RefusesWhatIsNoRange) {
  for (const char* text :
       {"", "-", "3-", "-3", "5-2", "a", "1,,2", "1,", "0x1", "1 ", "99999999999999999999", "1-2-3"}) {
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { parse_layers(text); }), HasSubstr("is no range")) << text;
  }
}

TEST(SelectLinears, TakesWhatLayersAndNamesBothLeave) {
  const LayerStages stages = four_layers();
  EXPECT_EQ(select_linears(stages, "", {}).size(), 12u);
  EXPECT_THAT(select_linears(stages, "1,3", {"*.mlp.*"}),
              ElementsAre("model.layers.1.mlp.up", "model.layers.3.mlp.up"));
  EXPECT_THAT(select_linears(stages, "", {"model.layers.2.attn.[qv]", "*.0.mlp.up"}),
              ElementsAre("model.layers.0.mlp.up", "model.layers.2.attn.q"));
  EXPECT_EQ(select_linears(stages, "0-2,1-3", {}).size(), 12u);
}

TEST(SelectLinears, NamesWhatIsNotThere) {
  const LayerStages stages = four_layers();
  const auto refusal = [&](std::string_view layers, const std::vector<std::string>& patterns) {
    return message_of(ErrorKind::kUsage, [&] { select_linears(stages, layers, patterns); });
  };
  EXPECT_THAT(refusal("2-4", {}), HasSubstr("the model has the layers 0 to 3, not 4"));
  EXPECT_THAT(refusal("", {"*.up", "*.down"}), HasSubstr("no linear is called '*.down'; they have names like 'model."));
  EXPECT_THAT(refusal("0", {"*.1.mlp.up"}), HasSubstr("no linear of the layers 0 is called '*.1.mlp.up'"));
}

}  // namespace
}  // namespace hesse
