#include "run/pipeline.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "base/process.h"
#include "hesse/error.h"
#include "plan/prediction.h"
#include "run/layer.h"
#include "run/result_writer.h"

namespace hesse {
namespace {

class Run {
 public:
  Run(const Job& job, const std::filesystem::path& result, Listener& listener)
      : job_(job), listener_(listener), writer_(job, result) {
    if (job.predicted) countdown_.emplace(*job.predicted);
  }

  RunRecord run(const std::string& version) {
    record_.warnings = job_.notes;
    for (const std::string& note : job_.notes) listener_.on_warning(note);
    const int64_t layers = job_.model->config().layers;
    Streams streams = first_streams();
    for (int64_t layer = 0; layer < layers; ++layer) {
      tell_progress(layer, 0);
      job_.model->prefetch(layer + 1);
      const LayerEvents events = events_of(layer);
      if (job_.windows) {
        quantize_layer(job_, layer, streams, clock_, events);
      } else {
        round_layer(job_, layer, clock_, events);
      }
    }
    clock_.time("write", [&] { writer_.finish(version); });
    clock_.time("verify", [&] { writer_.verify(); });
    return finish_record();
  }

 private:
  // The embeddings of the calibration tokens. Only a solver that uses Hessians can follow the original model.
  Streams first_streams() {
    Streams streams;
    if (!job_.windows) return streams;
    const auto& ids = job_.windows->ids;
    streams.quantized.h = clock_.time("forward", [&] {
      return job_.model->embed({ids.data(), static_cast<size_t>(ids.size())});
    });
    const bool follows = job_.options.shift != 0 || job_.options.residual != 0;
    if (job_.solver->needs_hessian && follows) streams.original.emplace(Stream{streams.quantized.h.clone(), {}});
    return streams;
  }

  LayerEvents events_of(int64_t layer) {
    return {.solved =
                [this](const SolvedLinear& linear) {
                  const LinearRecord& record = linear.record;
                  if (linear.packed) writer_.write(record.name, *linear.packed);
                  record_.linears.push_back(record);
                  listener_.on_linear(record);
                  judge(record);
                },
            .progress = [this, layer](double share) { tell_progress(layer, share); },
            .unusable_tokens =
                [this](const std::string& what) {
                  // The first says where it begins; behind it the same tokens are bad nearly everywhere.
                  if (std::exchange(told_of_unusable_tokens_, true)) return;
                  record_.warnings.push_back(what);
                  listener_.on_warning(what);
                }};
  }

  // What the user wants a run to stop for.
  void judge(const LinearRecord& record) const {
    if (job_.options.strict && record.status >= LinearStatus::kRoundingBetter) {
      throw Error(ErrorKind::kBadInput,
                  fmt::format("[strict] '{}': {}", record.name, trouble_text(troubles_of(record).back(), record)));
    }
    constexpr int64_t kEarlyLayers = 3;
    const double limit = job_.options.max_early_loss;
    if (limit > 0 && record.layer < kEarlyLayers && record.loss > limit) {
      throw Error(
          ErrorKind::kBadInput,
          fmt::format("[early loss] '{}' loses {:.4g}, more than --max-early-loss {}: wrong calibration text or "
                      "tokenizer, too few tokens, or too few bits",
                      record.name, record.loss, limit));
    }
  }

  // Also the place where a run stops when it is asked to.
  void tell_progress(int64_t layer, double share_of_layer) {
    if (listener_.stop_requested())
      throw Error(ErrorKind::kInterrupted, "[run] stopped on request; nothing was written");
    const int64_t layers = job_.model->config().layers;
    const std::string what = fmt::format("layer {} of {}", layer + 1, layers);
    const double share = (static_cast<double>(layer) + share_of_layer) / static_cast<double>(layers);
    const double seconds = watch_.seconds();
    double left = share > 0 ? seconds / share - seconds : -1;
    if (countdown_) left = countdown_->seconds_left(layer, share_of_layer, seconds);
    listener_.on_progress({.what = what, .share = share, .seconds_left = left});
  }

  RunRecord finish_record() {
    record_.options = job_.options;
    record_.model_name = std::filesystem::weakly_canonical(job_.model_directory).filename().string();
    record_.family = job_.model->config().family->name;
    record_.format = job_.format->name();
    record_.calibration_sequences = job_.windows ? job_.windows->count() : 0;
    record_.calibration_tokens = job_.windows ? job_.windows->ids.size() : 0;
    record_.compute = compute_name(job_.compute.type);
    record_.compute_reason = job_.compute.reason;
    record_.phases = clock_.phases();
    record_.work = quantize_work(job_.model->config(), size_of(job_));
    record_.output_bytes = writer_.output_bytes();
    record_.bits_per_weight = writer_.bits_per_weight();
    return std::move(record_);
  }

  const Job& job_;
  Listener& listener_;
  ResultWriter writer_;
  PhaseClock clock_;
  Stopwatch watch_;
  std::optional<Countdown> countdown_;
  RunRecord record_;
  bool told_of_unusable_tokens_ = false;
};

}  // namespace

RunRecord run_job(const Job& job, const std::filesystem::path& result, const std::string& version, Listener& listener) {
  return Run(job, result, listener).run(version);
}

}  // namespace hesse
