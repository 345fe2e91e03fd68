#include "plan/loaders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "formats/format.h"
#include "model/arch.h"
#include "plan/loader_rules.h"
#include "plan/published.h"

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

struct Question {
  std::string model, engine, kernel;
  int64_t devices = 1;
  PlannedOutput output = {};
};

LoaderRow ask(const Question& q) {
  for (LoaderRow& row : loader_table(published(q.model), q.output)) {
    if (row.engine == q.engine && row.kernel == q.kernel && row.devices == q.devices) return row;
  }
  ADD_FAILURE() << q.engine << ' ' << q.kernel << ' ' << q.devices;
  return {};
}

Verdict marlin(const std::string& model, int64_t devices, int64_t group_size) {
  return ask({model, "vLLM", "Marlin", devices, {.spec = {.group_size = group_size}}}).verdict;
}

TEST(Loaders, EveryRuleNamesItsSourceAndItsDate) {
  std::set<std::string> rows;
  for (const LoaderRow& row : loader_table(published("llama-2-7b"), {})) {
    EXPECT_THAT(std::string(row.source), HasSubstr(": "));
    EXPECT_EQ(row.date.size(), 7u);
    EXPECT_TRUE(rows.insert(std::string(row.engine) + std::string(row.kernel) + std::to_string(row.devices)).second);
  }
  EXPECT_EQ(rows.size(), 4 * 4u + 8);  // two kernels of vLLM and of SGLang with 1, 2, 4 and 8 devices
}

TEST(Loaders, ThePlainCaseLoadsEverywhere) {
  for (const LoaderRow& row : loader_table(published("llama-2-7b"), {.negative_scales = false})) {
    if (row.devices > 1) continue;
    EXPECT_EQ(row.verdict, Verdict::kYes) << row.engine << ' ' << row.kernel << ": " << row.why;
    EXPECT_EQ(row.why.empty(), row.kernel != "gptq_gemm") << row.engine << ' ' << row.kernel << ": " << row.why;
  }
}

// 11008 / 4 = 2752 = 21.5 x 128.
TEST(Loaders, LlamaTwoOnFourDevicesNeedsGroupsOf64) {
  EXPECT_EQ(marlin("llama-2-7b", 2, 128), Verdict::kYes);
  const LoaderRow row = ask({"llama-2-7b", "vLLM", "Marlin", 4});
  EXPECT_EQ(row.verdict, Verdict::kNo);
  EXPECT_THAT(row.why, AllOf(HasSubstr("layers.0.mlp.down_proj"), HasSubstr("2752"), HasSubstr("128")));
  EXPECT_EQ(ask({"llama-2-7b", "vLLM", "gptq_gemm", 4}).verdict, Verdict::kNo);
  EXPECT_EQ(ask({"llama-2-7b", "vLLM", "gptq_gemm", 4, {.spec = {.group_size = 64}}}).verdict, Verdict::kYes);
  // Groups of 64 divide, but Marlin's tile of 128 inputs does not.
  EXPECT_EQ(marlin("llama-2-7b", 4, 64), Verdict::kUnknown);
  EXPECT_EQ(ask({"llama-2-7b", "SGLang", "gptq_marlin", 4, {.spec = {.group_size = 64}}}).verdict, Verdict::kNo);
}

// 29568 / 2 = 14784 = 115.5 x 128 = 231 x 64; / 4 = 7392 = 231 x 32.
TEST(Loaders, Qwen72BOnDevices) {
  EXPECT_EQ(marlin("qwen2-72b", 1, 128), Verdict::kYes);
  EXPECT_EQ(marlin("qwen2-72b", 2, 128), Verdict::kNo);
  for (const auto& [devices, size] : {std::pair<int64_t, int64_t>{2, 64}, {4, 32}}) {
    EXPECT_EQ(ask({"qwen2-72b", "vLLM", "gptq_gemm", devices, {.spec = {.group_size = size}}}).verdict, Verdict::kYes);
    EXPECT_EQ(ask({"qwen2-72b", "vLLM", "gptq_gemm", devices, {.spec = {.group_size = 2 * size}}}).verdict,
              Verdict::kNo);
  }
  const LoaderRow eight = ask({"qwen2-72b", "vLLM", "gptq_gemm", 8, {.spec = {.group_size = 32}}});
  EXPECT_EQ(eight.verdict, Verdict::kNo);
  EXPECT_THAT(eight.why, HasSubstr("3696"));
}

TEST(Loaders, WidthsThatAreNoMultipleOf128) {
  EXPECT_EQ(marlin("smollm2-135m", 1, 128), Verdict::kNo);      // 576 = 4.5 x 128: ragged
  EXPECT_EQ(marlin("smollm2-135m", 1, 64), Verdict::kUnknown);  // groups divide, the tile does not
  EXPECT_THAT(ask({"smollm2-135m", "SGLang", "gptq_marlin", 1, {.spec = {.group_size = 64}}}).why,
              AllOf(HasSubstr("576 inputs"), HasSubstr("128")));
  EXPECT_EQ(ask({"smollm2-135m", "ExLlamaV2", "gptq", 1, {.spec = {.group_size = 64}}}).verdict, Verdict::kYes);
  EXPECT_EQ(ask({"smollm2-135m", "transformers", "GPTQModel torch"}).verdict, Verdict::kYes);  // ragged, tested
  EXPECT_EQ(marlin("falcon-7b", 1, 64), Verdict::kUnknown);                                    // 4544 = 35.5 x 128
  EXPECT_EQ(ask({"falcon-7b", "ExLlamaV2", "gptq"}).verdict, Verdict::kNo);
  EXPECT_EQ(ask({"falcon-7b", "AutoGPTQ", "exllama", 1, {.spec = {.group_size = 64}}}).verdict, Verdict::kYes);
}

TEST(Loaders, HeadsAreSharedWhole) {
  EXPECT_THAT(ask({"smollm2-135m", "vLLM", "gptq_gemm", 2, {.spec = {.group_size = 32}}}).why,
              HasSubstr("9 heads cannot be shared by 2 devices"));
  EXPECT_EQ(ask({"falcon-7b", "vLLM", "gptq_gemm", 2, {.spec = {.group_size = 32}}}).verdict, Verdict::kNo);  // 71
  // 8 key heads for 8 devices, and repeated beyond: 128 heads of Llama 405B.
  EXPECT_EQ(marlin("llama-3.1-405b", 8, 128), Verdict::kYes);
}

TEST(Loaders, BitsAndSymmetry) {
  for (const int bits : {2, 3, 4, 8}) {
    const PlannedOutput output{.spec = {.bits = bits}};
    const bool common = bits == 4 || bits == 8;
    EXPECT_EQ(ask({"llama-2-7b", "vLLM", "Marlin", 1, output}).verdict == Verdict::kYes, common);
    EXPECT_EQ(ask({"llama-2-7b", "vLLM", "gptq_gemm", 1, output}).verdict, Verdict::kYes);
    EXPECT_EQ(ask({"llama-2-7b", "ExLlamaV2", "gptq", 1, output}).verdict == Verdict::kYes, bits == 4);
    EXPECT_EQ(ask({"llama-2-7b", "GPTQModel", "torch", 1, output}).verdict, Verdict::kYes);
  }
  const PlannedOutput asymmetric{.spec = {.symmetric = false}, .format = "gptq_v2"};
  EXPECT_THAT(ask({"llama-2-7b", "vLLM", "Marlin", 1, asymmetric}).why, HasSubstr("symmetric grids only"));
  EXPECT_EQ(ask({"llama-2-7b", "vLLM", "gptq_gemm", 1, asymmetric}).verdict, Verdict::kUnknown);
  EXPECT_THAT(ask({"llama-2-7b", "SGLang", "gptq", 1, asymmetric}).why, HasSubstr("off by one"));
  EXPECT_EQ(ask({"llama-2-7b", "GPTQModel", "torch", 1, asymmetric}).verdict, Verdict::kYes);
}

TEST(Loaders, LinearsThatDiffer) {
  const auto mixed = [](const std::string& engine, const std::string& kernel, const LinearSpec& other,
                        std::string_view format) {
    return ask({"llama-2-7b", engine, kernel, 1, {.spec = {}, .others = {other}, .format = format}});
  };
  const LinearSpec more{.bits = 8, .group_size = 32}, less{.bits = 3};
  EXPECT_EQ(mixed("vLLM", "Marlin", more, "gptq").verdict, Verdict::kYes);
  EXPECT_THAT(mixed("vLLM", "Marlin", less, "gptq").why, HasSubstr("3 bits; it has 4, 8"));
  EXPECT_EQ(mixed("GPTQModel", "torch", less, "gptq").verdict, Verdict::kYes);
  EXPECT_THAT(mixed("transformers", "GPTQModel torch", more, "gptq").why, HasSubstr("linears that differ"));
  EXPECT_THAT(mixed("ExLlamaV2", "gptq", more, "gptq").why, HasSubstr("linears that differ"));
  EXPECT_EQ(mixed("transformers", "compressed-tensors", less, "compressed-tensors").verdict, Verdict::kYes);
}

TEST(Loaders, GroupSizesThatKernelsDoNotHave) {
  const auto verdict = [](const std::string& engine, const std::string& kernel, int64_t size) {
    return ask({"llama-2-7b", engine, kernel, 1, {.spec = {.group_size = size}}}).verdict;
  };
  EXPECT_EQ(verdict("vLLM", "Marlin", 256), Verdict::kNo);
  EXPECT_EQ(verdict("vLLM", "gptq_gemm", 256), Verdict::kYes);
  EXPECT_EQ(verdict("vLLM", "Marlin", -1), Verdict::kYes);
  EXPECT_EQ(verdict("transformers", "GPTQModel torch", 96), Verdict::kNo);
  EXPECT_EQ(verdict("transformers", "GPTQModel torch", 256), Verdict::kYes);
  EXPECT_EQ(verdict("GPTQModel", "Machete", 32), Verdict::kNo);
  EXPECT_EQ(ask({"smollm2-135m", "ExLlamaV2", "gptq", 1, {.spec = {.group_size = 192}}}).verdict, Verdict::kNo);
}

TEST(Loaders, WhatAUserShouldKnowStandsInAYes) {
  EXPECT_THAT(ask({"llama-2-7b", "vLLM", "gptq_gemm", 1, {.bf16 = true}}).why, HasSubstr("float16 only"));
  EXPECT_THAT(ask({"llama-2-7b", "vLLM", "Marlin"}).why, HasSubstr("--positive-scales"));
  EXPECT_THAT(ask({"llama-2-7b", "GPTQModel", "torch"}).why, IsEmpty());  // negative scales are tested there
  EXPECT_EQ(ask({"llama-2-7b", "GPTQModel", "Machete", 1, {.sharded = true}}).verdict, Verdict::kNo);
  EXPECT_EQ(ask({"llama-2-7b", "GPTQModel", "torch", 1, {.sharded = true}}).verdict, Verdict::kYes);
}

// Experts: the inner width of one device against the larger of 64 and the group.
TEST(Loaders, Experts) {
  EXPECT_EQ(marlin("mixtral-8x7b", 8, 128), Verdict::kYes);  // 14336 / 8 = 14 x 128
  EXPECT_EQ(marlin("deepseek-v3", 8, 128), Verdict::kYes);   // 2048 / 8 = 256; 18432 / 8 = 18 x 128
  Json config = published_config("mixtral-8x7b");
  config.set("intermediate_size", Json(14336 + 64));
  const ModelShapes odd = shapes_of_config(config, "odd");
  for (const LoaderRow& row : loader_table(odd, {})) {
    if (row.engine != "vLLM" || row.kernel != "Marlin") continue;
    EXPECT_EQ(row.verdict, Verdict::kNo) << row.devices;
    EXPECT_THAT(row.why, HasSubstr("experts.0.w"));
  }
}

// One by one in the result, one tensor in the model's own files.
TEST(Loaders, ExpertsThatLieTogether) {
  ModelShapes model = published("deepseek-v3");
  model.experts_together = true;
  const auto verdicts = [&](const PlannedOutput& output) {
    std::map<std::string, LoaderRow> rows;
    for (const LoaderRow& row : loader_table(model, output)) {
      if (row.devices == 1) rows[std::string(row.engine) + ' ' + std::string(row.kernel)] = row;
    }
    return rows;
  };
  auto rows = verdicts({});
  EXPECT_EQ(rows.at("GPTQModel torch").verdict, Verdict::kYes);
  EXPECT_EQ(rows.at("vLLM Marlin").verdict, Verdict::kUnknown);
  EXPECT_THAT(rows.at("vLLM Marlin").why, HasSubstr("experts one by one"));
  EXPECT_EQ(rows.at("transformers GPTQModel torch").verdict, Verdict::kNo);
  for (const auto& [name, row] : verdicts({.format = "bf16"})) EXPECT_EQ(row.verdict, Verdict::kYes) << name;
}

TEST(Loaders, PackedHeads) {
  ModelShapes model = published("llama-2-7b");
  const auto verdicts = [&](const std::string& format) {
    std::map<std::string, Verdict> rows;
    for (const LoaderRow& row : loader_table(model, {.format = format})) {
      if (row.devices == 1) rows[std::string(row.engine) + ' ' + std::string(row.kernel)] = row.verdict;
    }
    return rows;
  };
  EXPECT_EQ(verdicts("gptq").at("transformers GPTQModel torch"), Verdict::kYes);
  StageShape head;
  head.name = kHeadStage;
  head.linears.push_back({"lm_head", model.vocab, model.hidden});
  model.add_head(head);
  auto rows = verdicts("gptq");
  EXPECT_EQ(rows.at("transformers GPTQModel torch"), Verdict::kNo);
  EXPECT_EQ(rows.at("GPTQModel torch"), Verdict::kYes);
  EXPECT_EQ(rows.at("vLLM Marlin"), Verdict::kYes);
  EXPECT_EQ(rows.at("ExLlamaV2 gptq"), Verdict::kUnknown);
  rows = verdicts("compressed-tensors");
  EXPECT_EQ(rows.at("SGLang WNA16"), Verdict::kNo);
  EXPECT_EQ(rows.at("transformers compressed-tensors"), Verdict::kYes);
  for (const auto& [name, verdict] : verdicts("bf16")) EXPECT_EQ(verdict, Verdict::kYes) << name;
}

// transformers 5 has one tensor in memory, whatever the files have.
TEST(Loaders, ExpertsThatAnEnginePutsTogether) {
  const LoaderRow row = ask({"mixtral-8x7b", "transformers", "GPTQModel torch"});
  EXPECT_EQ(row.verdict, Verdict::kNo);
  EXPECT_THAT(row.why, HasSubstr("one tensor"));
  EXPECT_EQ(ask({"deepseek-v3", "GPTQModel", "torch"}).verdict, Verdict::kYes);
  EXPECT_EQ(ask({"llama-2-7b", "transformers", "GPTQModel torch"}).verdict, Verdict::kYes);
  const PlannedOutput unpacked{.format = "compressed-tensors"};
  EXPECT_EQ(ask({"mixtral-8x7b", "transformers", "compressed-tensors", 1, unpacked}).verdict, Verdict::kYes);
}

// A row that nothing can meet is a row that says nothing.
TEST(Loaders, LimitsOfFamiliesAreOfEnginesAndTypesThatThereAre) {
  const auto in = [](const auto& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  for (const FamilyLimit& limit : family_limits()) {
    EXPECT_THAT(std::string(limit.source), HasSubstr(": "));
    EXPECT_EQ(limit.date.size(), 7u);
    for (const std::string_view format : limit.formats) {
      EXPECT_TRUE(std::ranges::any_of(
          loader_rules(),
          [&](const LoaderRule& rule) { return rule.engine == limit.engine && in(rule.formats, format); }))
          << limit.engine << ' ' << format;
    }
    for (const std::string_view type : limit.model_types) {
      EXPECT_TRUE(std::ranges::any_of(families(), [&](const Family& family) {
        return family.model_types.front() == type;
      })) << type;
    }
  }
}

TEST(Loaders, FamiliesThatAnEngineDoesNotReadAreRefusedWithTheSourceOfTheReason) {
  const PlannedOutput output{.spec = {.group_size = 64}};
  const LoaderRow row = ask({"falcon-7b", "transformers", "GPTQModel torch", 1, output});
  EXPECT_EQ(row.verdict, Verdict::kNo);
  EXPECT_THAT(row.why, AllOf(HasSubstr("'falcon' models"), HasSubstr("nn.Linear")));
  EXPECT_THAT(std::string(row.source), HasSubstr("optimum"));
  EXPECT_EQ(ask({"falcon-7b", "GPTQModel", "torch", 1, output}).verdict, Verdict::kYes);
}

// More devices never make a refused result load; a whole row loads wherever any group does not fall short.
TEST(Loaders, CuttingNeverHelps) {
  for (const char* name : {"smollm2-135m", "llama-2-7b", "qwen2-72b", "llama-3.1-405b", "mixtral-8x7b"}) {
    for (const int64_t size : {32, 64, 128}) {
      std::string before;
      bool refused = false;
      for (const LoaderRow& row : loader_table(published(name), {.spec = {.group_size = size}})) {
        const std::string kernel = std::string(row.engine) + std::string(row.kernel);
        if (kernel != before) refused = false;
        EXPECT_FALSE(refused && row.verdict == Verdict::kYes) << name << ' ' << kernel << ' ' << row.devices;
        refused = row.verdict == Verdict::kNo;
        before = kernel;
      }
    }
  }
}

// Kernels that do not know a format have no row for it.
TEST(Loaders, EachFormatHasItsOwnKernels) {
  const auto kernels = [](std::string_view format) {
    std::set<std::string> names;
    for (const LoaderRow& row : loader_table(published("llama-2-7b"), {.format = format}))
      names.insert(std::string(row.engine) + " " + std::string(row.kernel));
    return names;
  };
  for (const ExportFormat* format : export_formats()) EXPECT_FALSE(kernels(format->name()).empty()) << format->name();
  EXPECT_EQ(kernels("awq").count("vLLM awq_marlin"), 1u);
  EXPECT_EQ(kernels("awq").count("vLLM Marlin"), 0u);
  EXPECT_EQ(kernels("compressed-tensors").count("vLLM WNA16"), 1u);
  EXPECT_EQ(kernels("gptq").count("vLLM WNA16"), 0u);
  EXPECT_EQ(kernels("bf16"), kernels("fp16"));
}

TEST(Loaders, AwqAndCompressedTensors) {
  const auto verdict = [](const char* engine, const char* kernel, const PlannedOutput& output) {
    return ask({"llama-2-7b", engine, kernel, 1, output}).verdict;
  };
  const PlannedOutput awq{.spec = {.symmetric = false}, .format = "awq"};
  EXPECT_EQ(verdict("vLLM", "awq_marlin", awq), Verdict::kYes);
  EXPECT_EQ(verdict("SGLang", "awq", awq), Verdict::kYes);
  EXPECT_EQ(verdict("vLLM", "awq", {.spec = {.group_size = -1}, .format = "awq"}), Verdict::kNo);
  EXPECT_EQ(verdict("transformers", "GPTQModel awq_torch", {.spec = {.group_size = 256}, .format = "awq"}),
            Verdict::kNo);
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      const PlannedOutput output{.spec = {.bits = bits, .symmetric = symmetric}, .format = "compressed-tensors"};
      EXPECT_EQ(verdict("transformers", "compressed-tensors", output), Verdict::kYes);
      const bool has = symmetric ? bits == 4 || bits == 8 : bits == 4;
      EXPECT_EQ(verdict("vLLM", "WNA16", output), has ? Verdict::kYes : Verdict::kNo) << bits;
    }
  }
  EXPECT_EQ(
      ask({"smollm2-135m", "every engine", "as the model itself", 1, {.spec = {.group_size = 128}, .format = "bf16"}})
          .verdict,
      Verdict::kYes);
}

}  // namespace
}  // namespace hesse
