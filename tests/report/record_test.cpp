#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "io/json.h"
#include "report/report.h"
#include "report/small_record.h"

namespace hesse {
namespace {

using testing::HasSubstr;
using testing::Not;

const char* const kGolden = R"({
  "schema": "hesse-run/1",
  "version": "0.1.0",
  "model": "tiny",
  "family": "llama",
  "format": "gptq",
  "options": {
    "as": "",
    "output": "tiny-4bit",
    "calib": [
      "a.txt",
      "b.txt"
    ],
    "preset": "balanced",
    "bits": 4,
    "group_size": 128,
    "sym": true,
    "format": "auto",
    "pad_intermediate": 0,
    "recipe": "",
    "bits_target": 0.0,
    "bits_choices": "2,3,4,8",
    "protect": 0,
    "measurement": "",
    "lm_head": 0,
    "print_recipe": false,
    "method": "gptq",
    "samples": 128,
    "length": 512,
    "bos": "never",
    "pack": true,
    "random_share": 0.0,
    "seed": 18446744073709551615,
    "damp": 0.01,
    "order": "groups",
    "joint": 16,
    "sweeps": 4,
    "shift": 0.8,
    "residual": 0.8,
    "ridge": 5.0,
    "scale_search": "weighted",
    "positive_scales": false,
    "on_nonfinite": "stop",
    "max_nonfinite": 0.05,
    "max_early_loss": 0.0,
    "strict": false,
    "memory": 0.0,
    "hessian_memory": 0.0,
    "shard_size": 5.0,
    "hub_layout": false,
    "compute": "auto",
    "overwrite": false,
    "check": true,
    "layers": "",
    "redo": [],
    "trial": false,
    "resume": true,
    "disk": 0.0,
    "threads": 0
  },
  "machine": {
    "processor": "a processor",
    "simd": "AVX2",
    "libraries": "oneDNN 2.6",
    "threads": 2,
    "compute": "bf16",
    "compute_reason": "native"
  },
  "inputs": [
    {
      "name": "a.txt",
      "bytes": 1234,
      "sha256": "00ff"
    }
  ],
  "calibration": {
    "sequences": 128,
    "tokens": 65536,
    "sources": [
      {
        "name": "a.txt",
        "kind": "jsonl",
        "weight": 2.0,
        "bytes": 1234,
        "sha256": "00ff",
        "documents": 7,
        "duplicates": 1,
        "skipped": 2,
        "tokens": 600,
        "windows": 128
      }
    ],
    "digest": {
      "duplicate_sequences": 3,
      "repeated": 0.25,
      "padding": 0.0,
      "unknown": 0.001,
      "distinct_tokens": 4000,
      "vocabulary_share": 0.5,
      "scripts": [
        {
          "script": "Latin",
          "share": 0.9
        }
      ],
      "token_buckets": [],
      "token_halves": null
    }
  },
  "tokenizer_trial": {
    "text": "calibration",
    "predictions": 255,
    "nll": 3.5,
    "nll_with_bos": null,
    "uniform_nll": 9.0
  },
  "result": {
    "linears": 1,
    "fallbacks": 0,
    "troubles": {
      "dead-channels": 1,
      "duplicate-channels": 1,
      "nonfinite-activations": 1,
      "near-fp16-overflow": 1,
      "scale-floor": 1,
      "failed-late-minor": 1,
      "damping-raised": 1
    },
    "mean_relative_error": 0.004,
    "bits_per_weight": 4.15625,
    "predicted_damage": [],
    "output_bytes": 2000
  },
  "cost": {
    "seconds": 2.5,
    "resumed": 1,
    "seconds_before": 60.5,
    "predicted_seconds": 2.25,
    "phases": [
      {
        "name": "calibration",
        "seconds": 1.5
      }
    ],
    "work": {
      "linears": 1.5e+12,
      "attention": 2000.0,
      "hessian": 3000.0,
      "cross": 4000.0,
      "factor": 5000.5,
      "solve": 6000.0
    },
    "peak_memory_bytes": 1000,
    "predicted_peak_memory_bytes": 1100
  },
  "warnings": [
    "one"
  ],
  "linears": [
    {
      "name": "model.layers.0.mlp.up_proj",
      "layer": 0,
      "expert": null,
      "out": 768,
      "in": 256,
      "bits": 4,
      "group_size": 128,
      "symmetric": true,
      "status": "damping-raised",
      "troubles": [
        "dead-channels",
        "duplicate-channels",
        "nonfinite-activations",
        "near-fp16-overflow",
        "scale-floor",
        "failed-late-minor",
        "damping-raised"
      ],
      "loss": 12.5,
      "relative_error": 0.004,
      "rtn_relative_error": 0.03,
      "fit_error": 0.005,
      "held_out_error": 0.006,
      "damping": 0.1,
      "factorizations": 2,
      "failed_minor": 17,
      "tokens": 65536,
      "tokens_left_out": 5,
      "hessian_blocks": 1,
      "effective_rank": 250,
      "condition": 5000.0,
      "peak_diagonal": 12.0,
      "dead_channels": 1,
      "duplicate_channels": 2,
      "largest_activation": 40000.0,
      "largest_output": 3.0,
      "floored_scales": 4,
      "clip_rate": 0.001,
      "weight_rms": 0.02,
      "weight_errors": null,
      "seconds": 0.5
    }
  ]
})";

TEST(Record, Golden) { EXPECT_EQ(to_json(small_record()), kGolden); }

TEST(Record, ParsesBackToItself) {
  const std::string text = to_json(small_record());
  EXPECT_EQ(Json::parse(text, "hesse-run.json").dump(2), text);
}

TEST(Record, HoldsNoFolders) {
  EXPECT_THAT(to_json(small_record()), Not(HasSubstr("home")));
  RunRecord r = small_record();
  r.model_name = "/home/me/models/tiny";  // also when the caller forgot
  EXPECT_THAT(to_json(r), Not(HasSubstr("home")));
}

TEST(Record, EveryOptionOfTheVisitorIsEchoed) {
  const RunRecord record = small_record();
  const Json root = Json::parse(to_json(record), "t");
  visit_options(record.options, [&](std::string name, const auto&, std::string_view) {
    std::replace(name.begin(), name.end(), '-', '_');
    EXPECT_NE(root.find("options")->find(name), nullptr) << name;
  });
}

TEST(Record, WhatWasNotMeasuredOrIsNotFiniteIsNull) {
  RunRecord r = small_record();
  r.linears[0].loss = r.linears[0].relative_error = r.linears[0].rtn_relative_error = -1;
  r.linears[0].clip_rate = std::numeric_limits<double>::quiet_NaN();
  r.bits_per_weight = std::numeric_limits<double>::infinity();
  r.predicted_seconds = -1;
  r.predicted_peak_memory_bytes = -1;
  const Json root = Json::parse(to_json(r), "t");
  const Json& linear = root.find("linears")->as_array("t")[0];
  for (const char* name : {"loss", "relative_error", "rtn_relative_error", "clip_rate"}) {
    EXPECT_TRUE(linear.find(name)->is_null()) << name;
  }
  EXPECT_TRUE(root.find("result")->find("mean_relative_error")->is_null());
  EXPECT_TRUE(root.find("result")->find("bits_per_weight")->is_null());
  EXPECT_TRUE(root.find("cost")->find("predicted_seconds")->is_null());
  EXPECT_TRUE(root.find("cost")->find("predicted_peak_memory_bytes")->is_null());
  r.linears[0].relative_error = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(mean_relative_error(r), -1);
}

TEST(Record, NamesThatAreNotUtf8StillMakeJson) {
  RunRecord r = small_record();
  r.options.calibration = {"dir/caf\xE9.txt"};
  r.warnings = {"\xFF"};
  EXPECT_NO_THROW(Json::parse(to_json(r), "t"));
}

TEST(Record, CountsFallbacksAndNamesStatuses) {
  RunRecord r;
  EXPECT_EQ(r.fallbacks(), 0);
  for (const LinearStatus status : {LinearStatus::kOk, LinearStatus::kFallback, LinearStatus::kDampingRaised,
                                    LinearStatus::kEigenvalueFloor, LinearStatus::kRoundingBetter}) {
    r.linears.emplace_back().status = status;
  }
  EXPECT_EQ(r.fallbacks(), 2);
  EXPECT_EQ(status_name(LinearStatus::kOk), "ok");
  EXPECT_EQ(status_name(LinearStatus::kDampingRaised), "damping-raised");
  EXPECT_EQ(status_name(LinearStatus::kFallback), "fallback");
  EXPECT_EQ(status_name(LinearStatus::kSkipped), "skipped");
}

TEST(Results, GenerateWithATokenCutInTheMiddle) {
  GenerateResult r;
  r.text = " tree\n\xE2\x82";
  r.prompt_ids = {0, 7};
  r.ids = {5};
  r.stop = "length";
  EXPECT_EQ(Json::parse(to_json(r), "t").dump(),
            "{\"schema\": \"hesse-generate/1\", \"text\": \" tree\\n\xEF\xBF\xBD\xEF\xBF\xBD\", "
            "\"prompt_ids\": [0, 7], \"ids\": [5], \"stop\": \"length\", \"seconds\": 0.0}");
}

TEST(Results, Inspect) {
  ModelInfo info;
  info.family = "llama";
  info.layers = 1;
  info.tied_head = true;
  info.group_sizes = {32, -1};
  info.linears = {{"model.layers.0.mlp.up_proj", 0, 768, 256, "mlp"}};
  info.tensors = {{"w", "F16", {2, 3}, 12}};
  const std::string text = Json::parse(to_json(info), "t").dump();
  EXPECT_THAT(text, HasSubstr(R"("tied_head": true)"));
  EXPECT_THAT(text, HasSubstr(R"("group_sizes": [32, -1])"));
  EXPECT_THAT(
      text,
      HasSubstr(R"({"name": "model.layers.0.mlp.up_proj", "layer": 0, "out": 768, "in": 256, "sharing": "mlp"})"));
  EXPECT_THAT(text, HasSubstr(R"({"name": "w", "dtype": "F16", "shape": [2, 3], "bytes": 12})"));
}

BenchResult small_bench() {
  BenchResult r;
  r.version = "0.1.0";
  r.build = "release";
  r.processor = "a processor";
  r.simd = "AVX2";
  r.onednn = "oneDNN 2.6.3";
  r.onednn_isa = "avx2";
  r.blas = "OpenBLAS 0.3.21 (Zen)";
  r.threads = 2;
  r.gemm_f32 = {{2048, 1536, 576, 80.5}};
  r.gemm_f32_gflops = 80.5;
  r.solver = {{"fast", 1e6, 1024}};
  return r;
}

TEST(Results, BenchWithoutAModel) {
  const Json root = Json::parse(to_json(small_bench()), "t");
  EXPECT_EQ(root.find("schema")->dump(), "\"hesse-bench/1\"");
  EXPECT_EQ(root.find("build")->dump(), "\"release\"");
  EXPECT_EQ(root.find("gemm_f32_gflops")->dump(), "80.5");
  EXPECT_EQ(root.find("gemm_f32")->dump(), R"([{"rows": 2048, "out": 1536, "in": 576, "gflops": 80.5}])");
  EXPECT_EQ(root.find("quantize")->dump(), "[]");
  for (const char* name : {"disk_read_gbs", "disk_cached", "eval_seconds_per_1000_tokens"})
    EXPECT_TRUE(root.find(name)->is_null()) << name;
}

TEST(Results, BenchWithAModel) {
  BenchResult r = small_bench();
  r.disk_read_gbs = 1.5;
  r.disk_cached = true;
  r.eval_seconds_per_1000_tokens = 0.25;
  r.quantize = {{"fast", 12.5, {.linears = 1e12}, {{"forward", 10.0}}}};
  const Json root = Json::parse(to_json(r), "t");
  EXPECT_EQ(root.find("disk_cached")->dump(), "true");
  EXPECT_EQ(root.find("eval_seconds_per_1000_tokens")->dump(), "0.25");
  EXPECT_THAT(
      root.find("quantize")->dump(),
      HasSubstr(R"([{"preset": "fast", "predicted_seconds": 12.5, "phases": [{"name": "forward", "seconds": 10.0}])"));
}

TEST(Record, KeepsTheWeightErrorsOfTheWorstLinears) {
  RunRecord r = small_record();
  r.linears.resize(9, r.linears[0]);
  for (size_t i = 0; i < r.linears.size(); ++i) {
    r.linears[i].name = "linear " + std::to_string(i);
    r.linears[i].status = i == 4 ? LinearStatus::kRoundingBetter : LinearStatus::kOk;
    r.linears[i].relative_error = 0.01 * static_cast<double>(i);
    r.linears[i].weight_errors.assign(kErrorBins + 2, 1);
  }
  r.linears[8].weight_errors.clear();  // of an earlier result, where it was not among the worst
  keep_worst_weight_errors(r);
  std::string kept;
  for (const LinearRecord& linear : r.linears) kept += linear.weight_errors.empty() ? '-' : 'x';
  EXPECT_EQ(kept, "--xxxxxx-");
  EXPECT_EQ(worst_linears(r, 2)[0]->name, "linear 4");
  EXPECT_EQ(worst_linears(r, 2)[1]->name, "linear 8");
  EXPECT_EQ(worst_linears(RunRecord(), 2).size(), 0u);
}

}  // namespace
}  // namespace hesse
