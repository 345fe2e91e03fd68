#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "api/machine_rates.h"
#include "api/open_model.h"
#include "api/problems.h"
#include "base/process.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/file.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"
#include "plan/prediction.h"
#include "run/job.h"

namespace hesse {
namespace {

constexpr double kGiga = 1e9;
constexpr int64_t kMemoryBytes = int64_t{256} << 20;  // beyond any cache
constexpr int64_t kSolverWidth = 1024;

#if defined(__has_feature)  // clang
#define HESSE_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HESSE_SANITIZED 1
#else
#define HESSE_SANITIZED 0
#endif

// Whoever compares rates must be able to refuse those of a debug build.
constexpr const char* build_kind() {
#if defined(NDEBUG) && defined(__OPTIMIZE__) && !HESSE_SANITIZED
  return "release";
#else
  return "debug";
#endif
}

QuantizeOptions options_of(const BenchOptions& asked, const std::string& preset) {
  QuantizeOptions options = QuantizeOptions::with_preset(preset);
  options.bits = asked.bits;
  options.group_size = asked.group_size;
  options.length = asked.length;
  if (asked.samples > 0) options.samples = asked.samples;
  return options;
}

LinearSpec spec_of(const QuantizeOptions& options) {
  return {.bits = options.bits, .group_size = options.group_size, .symmetric = options.symmetric};
}

class Bench {
 public:
  Bench(const BenchOptions& options, Listener& listener) : options_(options), listener_(listener) {}

  BenchResult run() {
    const Stopwatch watch;
    if (!options_.model.empty()) model_.emplace(open_model(options_.model));  // before the work: it may not be there
    describe();
    step("products", 0);
    meter_.warm_up();
    measure_products_of_reference();
    step("memory", 0.4);
    result_.memory_read_gbs = meter_.memory_read(kMemoryBytes) / kGiga;
    result_.memory_copy_gbs = meter_.memory_copy(kMemoryBytes) / kGiga;
    if (model_) measure_disk();
    step("solver", 0.5);
    measure_presets();
    step("done", 1);
    result_.seconds = watch.seconds();
    return std::move(result_);
  }

 private:
  void step(std::string_view what, double share) {
    if (listener_.stop_requested()) throw Error(ErrorKind::kInterrupted, "[bench] stopped on request");
    listener_.on_progress({.what = what, .share = share});
  }

  void describe() {
    result_.version = version();
    result_.build = build_kind();
    result_.processor = processor_name();
    result_.simd = simd_target();
    result_.onednn = onednn_version();
    result_.onednn_isa = onednn_isa();
    result_.blas = lapack_version();
    result_.threads = threads();
  }

  // Shapes of a small and of a large model; 2048 tokens go through the linears together.
  void measure_products_of_reference() {
    constexpr int64_t kRows = 2048;
    const struct { int64_t out, in; } shapes[] = {{1536, 576}, {4096, 4096}};
    for (const auto& [out, in] : shapes)
      result_.gemm_f32.push_back({kRows, out, in, meter_.gemm(kRows, out, in) / kGiga});
    for (const ProductRate& rate : result_.gemm_f32)
      result_.gemm_f32_gflops = std::max(result_.gemm_f32_gflops, rate.gflops);
    result_.gram_gflops = meter_.gram(kRows, 1536) / kGiga;
    const AttentionShape attention{.sequences = 2,
                                   .queries = 1024,
                                   .keys = 1024,
                                   .heads = std::max<int64_t>(8, threads()),
                                   .kv_heads = std::max<int64_t>(8, threads()),
                                   .head_dim = 128,
                                   .scale = 0.1f};
    result_.attention_gflops = meter_.attention(attention) / kGiga;
    result_.factor_gflops = meter_.factor(2048) / kGiga;
  }

  void measure_disk() {
    constexpr int64_t kMost = int64_t{256} << 20;
    const MappedFile file(model_->checkpoint->files().front());
    const int64_t size = std::min(kMost, file.size());
    if (size == 0) return;
    result_.disk_cached = file.share_in_memory(0, size) > 0.5;
    const Stopwatch watch;
    file.will_need(0, size);
    unsigned sum = 0;
    constexpr int64_t kPage = 4096;
    for (int64_t at = 0; at < size; at += kPage)
      sum += std::to_integer<unsigned>(file.bytes()[static_cast<size_t>(at)]);
    bytes_seen_ = sum;
    result_.disk_read_gbs = static_cast<double>(size) / std::max(1e-9, watch.seconds()) / kGiga;
  }

  void measure_presets() {
    std::vector<std::string> presets{options_.preset};
    if (options_.preset.empty()) presets = {"fast", "balanced"};
    for (const std::string& preset : presets) {
      step("solver, " + preset, 0.5);
      const QuantizeOptions options = options_of(options_, preset);
      const MachineRates rates = model_ ? predict(preset, options) : solver_alone(options);
      const double weights = static_cast<double>(kSolverRows * rates.threads * kSolverWidth);
      result_.solver.push_back({preset, weights / rates.solve.seconds(kSolverWidth), kSolverWidth});
    }
  }

  MachineRates solver_alone(const QuantizeOptions& options) const {
    MachineRates rates;
    rates.threads = threads();
    meter_.solver(spec_of(options), gptq_options(options), kSolverWidth, rates);
    return rates;
  }

  MachineRates predict(const std::string& preset, const QuantizeOptions& options) {
    const GptqOptions gptq = gptq_options(options);
    const QuantizeSize size{.sequences = options.samples, .length = options.length, .targets = gptq.targets};
    const ModelConfig& config = model_->config;
    MachineRates rates = measure_products(meter_, config, size);
    measure_solver(meter_, config, spec_of(options), gptq, rates);
    if (model_->format == nullptr) {  // what is quantized already can only be evaluated
      const RunSeconds run = predict_quantize(config, size, model_->checkpoint->total_bytes(), rates);
      result_.quantize.push_back({preset, run.total(), quantize_work(config, size), run.phases()});
    }
    // Windows enough for the batches to be full.
    constexpr int64_t kWindows = 1000;
    const double tokens = static_cast<double>(kWindows * options.length);
    result_.eval_seconds_per_1000_tokens = predict_evaluation(config, kWindows, options.length, rates) / tokens * 1000;
    return rates;
  }

  const BenchOptions& options_;
  Listener& listener_;
  RateMeter meter_{Care::kThorough};
  std::optional<OpenModel> model_;
  BenchResult result_;
  volatile unsigned bytes_seen_ = 0;  // so that reading is not for nothing
};

}  // namespace

BenchResult bench(const BenchOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  return Bench(options, listener).run();
}

}  // namespace hesse
