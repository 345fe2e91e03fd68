// A record with a value in every member.
#pragma once

#include "hesse/events.h"

namespace hesse {

inline RunRecord small_record() {
  RunRecord r;
  r.version = "0.1.0";
  r.options.model = "/home/me/models/tiny/";
  r.options.output = "/home/me/out/tiny-4bit/";
  r.options.calibration = {"/home/me/text/a.txt", "b.txt"};
  r.options.seed = 18446744073709551615u;
  r.model_name = "tiny";
  r.family = "llama";
  r.format = "gptq";
  r.processor = "a processor";
  r.simd = "AVX2";
  r.libraries = "oneDNN 2.6";
  r.threads = 2;
  r.compute = "bf16";
  r.compute_reason = "native";
  r.calibration_sequences = 128;
  r.calibration_tokens = 65536;
  TextFacts source;
  source.name = "a.txt";
  source.bytes = 1234;
  source.tokens = 600;
  source.kind = "jsonl";
  source.weight = 2;
  source.documents = 7;
  source.duplicates = 1;
  source.skipped = 2;
  source.windows = 128;
  source.lengths = {{100, 100, 6}};
  source.sha256 = "00ff";
  source.first_text = "secret";
  r.calibration_sources = {source};
  r.calibration = CalibrationFacts{};
  r.calibration->duplicate_sequences = 3;
  r.calibration->repeated = 0.25;
  r.calibration->unknown = 0.001;
  r.calibration->distinct_tokens = 4000;
  r.calibration->vocabulary_share = 0.5;
  r.calibration->scripts = {{"Latin", 0.9}};
  r.calibration->first_text = "secret";
  r.tokenizer_trial = TrialFacts{.text = "calibration", .predictions = 255, .nll = 3.5, .uniform = 9};
  r.inputs = {{"/home/me/text/a.txt", 1234, "00ff"}};
  LinearRecord linear;
  linear.name = "model.layers.0.mlp.up_proj";
  linear.out = 768;
  linear.in = 256;
  linear.bits = 4;
  linear.group_size = 128;
  linear.status = LinearStatus::kDampingRaised;
  linear.loss = 12.5;
  linear.relative_error = 0.004;
  linear.rtn_relative_error = 0.03;
  linear.damping = 0.1;
  linear.factorizations = 2;
  linear.failed_minor = 17;
  linear.dead_channels = 1;
  linear.clip_rate = 0.001;
  linear.weight_rms = 0.02;
  linear.tokens = 65536;
  linear.fit_error = 0.005;
  linear.held_out_error = 0.006;
  linear.effective_rank = 250;
  linear.condition = 5000;
  linear.peak_diagonal = 12;
  linear.duplicate_channels = 2;
  linear.largest_activation = 40000;
  linear.largest_output = 3;
  linear.floored_scales = 4;
  linear.tokens_left_out = 5;
  linear.seconds = 0.5;
  r.linears = {linear};
  r.phases = {{"calibration", 1.5}};
  r.warnings = {"one"};
  r.seconds = 2.5;
  r.resumed = 1;
  r.seconds_before = 60.5;
  r.predicted_seconds = 2.25;
  r.predicted_peak_memory_bytes = 1100;
  r.work = {.linears = 1.5e12, .attention = 2000, .hessian = 3000, .cross = 4000, .factor = 5000.5, .solve = 6000};
  r.peak_memory_bytes = 1000;
  r.output_bytes = 2000;
  r.bits_per_weight = 4.15625;
  return r;
}

}  // namespace hesse
