#include "plan/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "plan/published.h"
#include "plan/small_config.h"

namespace hesse {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const ShiftOptions kOneStream{.shift = 0, .residual = 0};

const PhaseMemory& phase(const MemoryPlan& plan, std::string_view name) {
  for (const PhaseMemory& phase : plan.phases) {
    if (phase.phase == name) return phase;
  }
  ADD_FAILURE() << name;
  return plan.phases.front();
}

double part(const PhaseMemory& phase, std::string_view name) {
  for (const MemoryPart& part : phase.parts) {
    if (part.name == name) return part.bytes;
  }
  ADD_FAILURE() << phase.phase << ": " << name;
  return 0;
}

// One layer: q and o [8, 8], k and v [4, 8], gate and up [12, 8], down [8, 12]. Two windows of 16 tokens: nothing is
// held out, and all rows are one batch.
TEST(Memory, OfATinyModelCountedByHand) {
  const MemorySettings settings{.size = {.sequences = 2, .length = 16, .targets = kOneStream, .group_size = 4},
                                .spec = {.group_size = 4},
                                .sweeps = 0,
                                .threads = 1};
  const MemoryPlan plan = plan_memory(tiny_config(), settings);
  const double rows = 32;
  const PhaseMemory& hessian = phase(plan, "hessian");
  EXPECT_THAT(hessian.where, HasSubstr("down_proj"));
  EXPECT_EQ(part(hessian, "weights of a layer"), 4 * (64 + 2 * 32 + 64 + 2 * 96 + 96));
  EXPECT_EQ(part(hessian, "hessians"), 8 * 12 * 12);
  EXPECT_EQ(part(hessian, "drift"), 0);
  EXPECT_EQ(part(hessian, "scratch"), rows * 12 * 4);  // panels of the rows of down
  // The residual stream, and the inputs of gate/up [8] and of down [12].
  EXPECT_EQ(part(hessian, "activations"), rows * 4 * (8 + 8 + 12));
  const PhaseMemory& solve = phase(plan, "solve");
  EXPECT_THAT(solve.where, HasSubstr("down_proj"));
  EXPECT_EQ(part(solve, "targets"), 4 * 2 * 96);                   // and a copy
  EXPECT_EQ(part(solve, "codes"), 2 * (96 + 3 * 8 * 5));           // a float and a byte for each of 3 groups of 8 rows
  EXPECT_EQ(part(solve, "scratch"), 96 * 5 + 256 * (12 + 8) * 4);  // its losses: error, codes, a panel of H, a product
  EXPECT_EQ(part(phase(plan, "factor"), "hessians"), 8 * 12 * 12);
}

TEST(Memory, OfTwoStreamsCountedByHand) {
  const MemorySettings settings{.size = {.sequences = 2, .length = 16, .group_size = 4}, .spec = {.group_size = 4}};
  const MemoryPlan plan = plan_memory(tiny_config(), settings);
  const PhaseMemory& hessian = phase(plan, "hessian");
  EXPECT_EQ(part(hessian, "weights of a layer"), 2 * 4 * (64 + 2 * 32 + 64 + 2 * 96 + 96));
  EXPECT_EQ(part(hessian, "activations"), 2 * 32.0 * 4 * (8 + 8 + 12));
  EXPECT_EQ(part(hessian, "drift"), 8 * 96);  // down writes into the residual stream: [8, 12] doubles
}

TEST(Memory, PartsAddUpAndThePeakIsTheLargestPhase) {
  const MemoryPlan plan = plan_memory(published("smollm2-135m"), {.size = {.sequences = 16, .length = 512}});
  double largest = 0;
  for (const PhaseMemory& phase : plan.phases) {
    double sum = 0;
    for (const MemoryPart& part : phase.parts) {
      EXPECT_GE(part.bytes, 0) << phase.phase << ' ' << part.name;
      sum += part.bytes;
    }
    EXPECT_DOUBLE_EQ(phase.bytes(), sum);
    largest = std::max(largest, sum);
  }
  EXPECT_EQ(plan.peak().bytes(), largest);
  EXPECT_EQ(plan.peak_bytes(), static_cast<int64_t>(largest));
  std::vector<std::string_view> names;
  for (const PhaseMemory& phase : plan.phases) names.push_back(phase.phase);
  EXPECT_THAT(names, ElementsAre("check", "hessian", "factor", "solve", "forward", "write", "verify"));
}

// More of anything never needs less.
TEST(Memory, Grows) {
  const MemorySettings small{.size = {.sequences = 8, .length = 128, .targets = kOneStream, .group_size = 64},
                             .spec = {.group_size = 64},
                             .sweeps = 0,
                             .compute_bytes = 2};
  const auto peak = [](const MemorySettings& s, const char* model = "smollm2-135m") {
    return plan_memory(published(model), s).peak_bytes();
  };
  const int64_t least = peak(small);
  MemorySettings more = small;
  more.size.sequences = 64;
  EXPECT_GT(peak(more), least);
  more = small;
  more.size.length = 1024;
  EXPECT_GT(peak(more), least);
  more = small;
  more.size.targets = {};
  EXPECT_GT(peak(more), least);
  more = small;
  more.compute_bytes = 4;
  EXPECT_GT(peak(more), least);
  more = small;
  more.threads = 64;
  EXPECT_GT(peak(more), least);
  more = small;
  more.sweeps = 4;
  EXPECT_GE(peak(more), least);
  EXPECT_GT(peak(small, "llama-2-7b"), least);
  MemorySettings less = small;
  less.size.hessian_bytes = 8 * 640 * 640;
  EXPECT_LE(peak(less), least);
}

TEST(Memory, HardlyDependsOnTheDepth) {
  ModelConfig config = tiny_config();
  const MemorySettings settings{.size = {.sequences = 8, .length = 32}};
  const int64_t one = plan_memory(config, settings).peak_bytes();
  config.layers = 50;
  config.layer_attention.resize(50);
  EXPECT_LE(plan_memory(config, settings).peak_bytes(), one + 8 * 32 * 2 * 4 * 12);
}

// What the cost is per token must be what the streams take: the rest does not see the tokens.
TEST(Memory, OfManyTokensIsLinearInThem) {
  const ModelShapes model = published("llama-2-7b");
  const auto peak = [&](int64_t sequences) {
    return plan_memory(model, {.size = {.sequences = sequences, .length = 512}}).peak_bytes();
  };
  const double slope = static_cast<double>(peak(2000) - peak(1000)) / (1000 * 512);
  EXPECT_NEAR(slope, 2 * 4 * (4096 + 4096 + 11008), 1);
}

TEST(Memory, SpilledActivationsDoNotSeeTheTokens) {
  const ModelShapes model = published("llama-2-7b");
  MemorySettings settings{.size = {.sequences = 128, .length = 512}, .spill = true};
  const MemoryPlan few = plan_memory(model, settings);
  settings.size.sequences = 1280;
  const MemoryPlan many = plan_memory(model, settings);
  // All that grows are the rows of the embedding that were looked up: 262 MB at most.
  EXPECT_EQ(part(many.peak(), "activations"), part(few.peak(), "activations"));
  EXPECT_LE(many.peak_bytes(), few.peak_bytes() + 32000 * 4096 * 2);
  settings.spill = false;
  EXPECT_GT(plan_memory(model, settings).peak_bytes(), 2 * many.peak_bytes());
}

TEST(Memory, ABudgetTurnsTheCheapestKnobsFirst) {
  const ModelShapes model = published("llama-2-7b");
  MemorySettings settings{.size = {.sequences = 128, .length = 512}};
  const int64_t all = plan_memory(model, settings).peak_bytes();
  const MemoryAdvice rich = fit_memory(model, settings, with_margin(all));
  EXPECT_TRUE(rich.fits);
  EXPECT_FALSE(rich.settings.spill);
  const MemoryAdvice spilled = fit_memory(model, settings, with_margin(all) - 1);
  EXPECT_TRUE(spilled.fits);
  EXPECT_TRUE(spilled.settings.spill);
  EXPECT_THAT(spilled.flags, IsEmpty());
  const MemoryAdvice cut = fit_memory(model, settings, with_margin(spilled.peak_bytes) - 1);
  EXPECT_TRUE(cut.fits);
  EXPECT_THAT(cut.flags, ElementsAre(HasSubstr("--hessian-memory")));
  EXPECT_THAT(fit_memory(model, settings, 0).flags, Contains("--shift 0 --residual 0"));
}

// Whatever the budget is, an answer that claims to fit does, and no answer is below the smallest.
TEST(Memory, AnswersKeepTheirBudget) {
  for (const char* name : {"smollm2-135m", "llama-2-7b", "deepseek-v3"}) {
    const ModelShapes model = published(name);
    const MemorySettings settings{.size = {.sequences = 128, .length = 512}};
    const int64_t all = plan_memory(model, settings).peak_bytes();
    const int64_t smallest = fit_memory(model, settings, 0).peak_bytes;
    EXPECT_LT(smallest, all);
    for (int64_t budget = all; budget > smallest / 2; budget = budget / 4 * 3) {
      const MemoryAdvice advice = fit_memory(model, settings, budget);
      EXPECT_EQ(advice.fits, with_margin(advice.peak_bytes) <= budget);
      EXPECT_EQ(advice.peak_bytes, plan_memory(model, advice.settings).peak_bytes());
      EXPECT_GE(advice.peak_bytes, smallest);
    }
  }
}

TEST(Memory, OfTheLargeModelsIsAPlan) {
  for (const char* name : {"qwen1.5-110b", "llama-3.1-405b", "mixtral-8x7b", "deepseek-v3"}) {
    const MemoryPlan plan = plan_memory(published(name), {.size = {.sequences = 128, .length = 2048}, .threads = 32});
    EXPECT_GT(plan.peak_bytes(), 10e9) << name;
    EXPECT_LT(plan.peak_bytes(), 1e12) << name;
  }
}

// 8 experts of 3 matrices [14336, 4096] a layer, in halves; gate and up are two thirds of them.
TEST(Memory, ExpertsThatArePutTogetherAreThereWhileALayerIsWritten) {
  const ModelShapes model = published("mixtral-8x7b");
  const MemoryPlan apart = plan_memory(model, {}), together = plan_memory(model, {.assembles = true});
  const double both = 2.0 * 8 * 3 * 14336 * 4096;
  EXPECT_EQ(part(phase(together, "write"), "experts of a layer"), both);
  EXPECT_EQ(part(phase(together, "verify"), "experts of a layer"),
            both + both * 2 / 3);  // and what they are compared with
  EXPECT_EQ(phase(together, "write").bytes(), phase(apart, "write").bytes() + both);
  EXPECT_EQ(phase(together, "solve").bytes(), phase(apart, "solve").bytes());
  EXPECT_EQ(plan_memory(published("llama-2-7b"), {.assembles = true}).peak_bytes(),
            plan_memory(published("llama-2-7b"), {}).peak_bytes());
}

TEST(Memory, RoundingNeedsNoTokens) {
  const MemoryPlan plan = plan_memory(published("smollm2-135m"), {});
  EXPECT_EQ(plan.peak().phase, "check");  // the embedding is looked at as a whole
  EXPECT_LT(plan.peak_bytes(), 300e6);
}

// Llama 2 7B at 4 bits and groups of 128: 6,476,005,376 weights at 4.25 bits less the g_idx of the rows, all else
// in 16.
TEST(Disk, OfLlamaTwo) {
  const ModelShapes model = published("llama-2-7b");
  const MemorySettings settings{.size = {.sequences = 128, .length = 512}, .spill = true};
  const DiskPlan disk = plan_disk(model, settings, export_format("gptq"));
  const double weights = model.linear_weights();
  EXPECT_EQ(weights, 6476005376.0);
  // A half and four bits of zero points for 128 weights, and 4 bytes of g_idx an input.
  const double packed = weights * (0.5 + 2.5 / 128) + 32 * 4.0 * (6 * 4096 + 11008);
  EXPECT_EQ(static_cast<double>(disk.journal_bytes), packed);
  EXPECT_EQ(static_cast<double>(disk.result_bytes), packed + 2 * (6738415616.0 - weights));
  EXPECT_EQ(disk.spill_bytes, 2LL * 128 * 512 * 4 * (4096 + 2 * 11008));
  EXPECT_EQ(disk.total(), disk.result_bytes + disk.journal_bytes + disk.spill_bytes);
  EXPECT_EQ(plan_disk(model, {}, export_format("gptq")).spill_bytes, 0);
}

TEST(Disk, ExpertsAllCount) {
  const DiskPlan disk = plan_disk(published("deepseek-v3"), {}, export_format("gptq"));
  EXPECT_NEAR(static_cast<double>(disk.result_bytes), 671e9 * 0.53, 671e9 * 0.02);
}

}  // namespace
}  // namespace hesse
