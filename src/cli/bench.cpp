#include <fmt/format.h>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "bench",
    "what this machine does in a second, and how long a model will take",
    "[--model MODEL] [flags]",
    "  hesse bench\n"
    "  hesse bench --model Llama-3.2-1B\n"
    "      also the times of `hesse quantize` and `hesse eval`, by phase\n"
    "  hesse bench --model Llama-3.2-1B --preset best --samples 256 --json\n",
};

std::string gigaflops(double rate) { return fmt::format("{:.1f} GFLOP/s", rate); }
std::string gigabytes(double rate) { return fmt::format("{:.1f} GB/s", rate); }

std::string machine_text(const BenchResult& r) {
  std::string text;
  text += fact("processor", r.processor);
  text += fact("threads", fmt::format("{}", r.threads));
  text += fact("kernels", r.simd);
  text += fact("products", fmt::format("{}, {}", r.onednn, r.onednn_isa));
  text += fact("factorization", r.blas);
  if (r.build != "release") text += fact("build", r.build + ": these rates say nothing about a release build");
  return text;
}

std::string rates_text(const BenchResult& r) {
  std::string text;
  for (const ProductRate& rate : r.gemm_f32) {
    text += fact("product f32", fmt::format("{}, {} x {} x {}", gigaflops(rate.gflops), rate.rows, rate.out, rate.in));
  }
  text += fact("Gram matrix", gigaflops(r.gram_gflops) + ", float32 summed in float64, one half counted");
  text += fact("attention", gigaflops(r.attention_gflops) + ", the causal half counted");
  text += fact("factor f64", gigaflops(r.factor_gflops));
  for (const SolverRate& rate : r.solver) {
    text += fact("solver",
                 fmt::format("{} weights/s, preset {}, {} inputs",
                             format_count(static_cast<int64_t>(rate.weights_per_second)), rate.preset, rate.width));
  }
  text += fact("memory", fmt::format("{} read, {} copied", gigabytes(r.memory_read_gbs), gigabytes(r.memory_copy_gbs)));
  if (r.disk_read_gbs >= 0) {
    text += fact("weight file", gigabytes(r.disk_read_gbs) + (r.disk_cached ? " read (cached)" : " read"));
  }
  return text;
}

std::string prediction_text(const QuantizePrediction& prediction) {
  std::string phases;
  for (const PhaseTime& phase : prediction.phases) {
    if (phase.seconds < 0.005 * prediction.seconds) continue;
    phases += fmt::format("{}{} {}", phases.empty() ? "" : ", ", phase.name, format_duration(phase.seconds));
  }
  return fact("quantize", fmt::format("about {} with preset {}: {}", format_duration(prediction.seconds),
                                      prediction.preset, phases));
}

std::string result_text(const BenchResult& result) {
  std::string text = machine_text(result) + rates_text(result);
  for (const QuantizePrediction& prediction : result.quantize) text += prediction_text(prediction);
  if (result.eval_seconds_per_1000_tokens >= 0) {
    text += fact("eval", fmt::format("about {:.3g} s for 1000 tokens", result.eval_seconds_per_1000_tokens));
  }
  return text;
}

}  // namespace

int run_bench(const Arguments& arguments) {
  BenchOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  Console console(manner);
  warn_about_environment(console, options.threads);
  const BenchResult result = bench(options, console);
  console.output(manner.json ? to_json(result) + '\n' : result_text(result));
  return kExitFine;
}

}  // namespace hesse
