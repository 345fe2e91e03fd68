#include "run/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/process.h"
#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

constexpr double kBytesPerGb = 1e9;

int64_t all_linears(const Job& job) {
  int64_t count = 0;
  for (const StageShape& stage : job.stages) count += std::ssize(stage.linears);
  return count;
}

// The first layer whose forward pass this process needs.
int64_t first_layer(const Job& job, const WorkDirectory& work) {
  if (work.is_complete()) return job.model->config().layers;
  if (!job.windows) return work.next().layer;
  return work.snapshot() ? work.snapshot()->layers : 0;
}

}  // namespace

RunSeconds::Done done_before(const Job& job, const WorkDirectory& work) {
  const UnitPlace next = work.is_complete() ? UnitPlace{job.model->config().layers, 0} : work.next();
  return {.first_layer = first_layer(job, work), .layer = next.layer, .stages = next.stage};
}

Run::Run(const Job& job, WorkDirectory& work, Listener& listener, std::string version)
    : job_(job),
      work_(work),
      listener_(listener),
      version_(std::move(version)),
      writer_(job),
      quantization_config_(quantization_config(job, version_)) {
  // Only a solver that uses Hessians can follow the original model.
  two_streams_ = job.solver->needs_hessian && (job.options.shift != 0 || job.options.residual != 0);
  if (job.predicted) countdown_.emplace(*job.predicted);
  restore();
}

// What is done already, as if it had just been done; what was to be said of it was said then.
void Run::restore() {
  record_.warnings = job_.notes;
  for (const std::string& warning : work_.warnings()) warn(warning);
  for (const Unit& unit : work_.units()) {
    for (const UnitLinear& linear : unit.linears) {
      judge(linear.record);
      record_.linears.push_back(linear.record);
    }
    record_.warnings.insert(record_.warnings.end(), unit.warnings.begin(), unit.warnings.end());
    told_of_unusable_tokens_ = told_of_unusable_tokens_ || !unit.warnings.empty();
  }
  if (work_.units().empty()) {
    for (const std::string& note : job_.notes) listener_.on_warning(note);
    return;
  }
  const int64_t layers = job_.model->config().layers;
  const RunSeconds::Done done = done_before(job_, work_);
  share_before_ = static_cast<double>(done.layer) / static_cast<double>(layers);
  listener_.on_resumed(
      {.linears = work_.linears_done(), .of = all_linears(job_), .layer = done.layer, .first_layer = done.first_layer});
}

void Run::solve(const SnapshotRule& rule) {
  if (work_.is_complete()) return;
  const int64_t layers = job_.model->config().layers;
  const int64_t first = first_layer(job_, work_);
  Streams streams = first_streams(first);
  SnapshotClock snapshots(rule);
  for (int64_t layer = first; layer < layers; ++layer) {
    tell_progress(layer, 0);
    stop_if_asked();
    job_.model->prefetch(layer + 1);
    const LayerEvents events = events_of(layer);
    if (job_.windows) {
      quantize_layer(job_, layer, streams, clock_, events);
      if (layer + 1 < layers) save_streams(layer + 1, streams, snapshots);
    } else {
      round_layer(job_, layer, clock_, events);
    }
  }
}

// In front of `first_layer`: the embeddings of the calibration tokens, or what was saved there.
Streams Run::first_streams(int64_t first_layer) {
  Streams streams;
  if (!job_.windows) return streams;
  if (job_.spill) streams.store = ActivationStore(work_.path());
  if (first_layer > 0) {
    clock_.time("read", [&] { read_streams(job_, two_streams_, work_.path() / work_.snapshot()->file, streams); });
  } else {
    clock_.time("forward", [&] { embed_tokens(streams); });
  }
  return streams;
}

void Run::embed_tokens(Streams& streams) const {
  const int64_t tokens = job_.windows->ids.size(), hidden = job_.model->config().hidden;
  streams.quantized.h = streams.store.matrix(tokens, hidden);
  if (two_streams_) streams.original.emplace(Stream{streams.store.matrix(tokens, hidden), {}});
  for_each_batch(*job_.windows, [&](Batch batch, int64_t first) {
    const Matrix<float> rows = job_.model->embed({job_.windows->ids.data() + first, static_cast<size_t>(batch.rows())});
    for (Matrix<float>* h : {&streams.quantized.h, streams.original ? &streams.original->h : nullptr}) {
      if (h == nullptr) continue;
      std::copy_n(rows.data(), rows.size(), h->row(first));
      streams.store.put_aside(h->view().row_range(first, batch.rows()));
    }
  });
}

LayerEvents Run::events_of(int64_t layer) {
  return {.is_done =
              [this, layer](int64_t stage) {
                return work_.find({layer, stage}) != nullptr;
              },
          .packed = [this, layer](int64_t stage, size_t index) -> std::optional<QuantizedLinear> {
            const UnitPlace place{layer, stage};
            const Unit& unit = *work_.find(place);
            if (unit.linears.at(index).digest.empty()) return std::nullopt;
            if (open_place_ != place) {
              open_unit_ = work_.open(unit);
              open_place_ = place;
            }
            return read_packed(job_, *open_unit_, unit.linears[index], quantization_config_);
          },
          .solved =
              [this, layer](int64_t stage, const std::vector<SolvedLinear>& solved) {
                commit({layer, stage}, solved);
              },
          .progress = [this, layer](double share) { tell_progress(layer, share); },
          .between_stages = [this] { stop_if_asked(); },
          .unusable_tokens =
              [this](const std::string& what) {
                // The first says where it begins; behind it the same tokens are bad nearly everywhere.
                if (std::exchange(told_of_unusable_tokens_, true)) return;
                unit_warnings_.push_back(what);
                warn(what);
              }};
}

// Judged first: what the user wants a run to stop for is not committed, and the same command does not get past it.
void Run::commit(UnitPlace place, const std::vector<SolvedLinear>& solved) {
  Unit unit;
  unit.place = place;
  for (const SolvedLinear& linear : solved) {
    unit.linears.push_back({linear.record, linear.packed ? digest(*linear.packed) : ""});
    record_.linears.push_back(linear.record);
    listener_.on_linear(linear.record);
    judge(linear.record);
  }
  unit.warnings = std::exchange(unit_warnings_, {});
  work_.commit(std::move(unit), [&](const std::filesystem::path& path) { write_unit_file(job_, solved, path); });
}

// What the user wants a run to stop for.
void Run::judge(const LinearRecord& record) const {
  if (job_.options.strict && record.status >= LinearStatus::kRoundingBetter) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[strict] '{}': {}", record.name, trouble_text(troubles_of(record).back(), record)));
  }
  constexpr int64_t kEarlyLayers = 3;
  const double limit = job_.options.max_early_loss;
  if (limit > 0 && record.layer < kEarlyLayers && record.loss > limit) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[early loss] '{}' loses {:.4g}, more than --max-early-loss {}: wrong calibration text or "
                            "tokenizer, too few tokens, or too few bits",
                            record.name, record.loss, limit));
  }
}

void Run::warn(const std::string& text) {
  record_.warnings.push_back(text);
  listener_.on_warning(text);
}

void Run::tell_progress(int64_t layer, double share_of_layer) {
  const int64_t layers = job_.model->config().layers;
  const std::string what = fmt::format("layer {} of {}", layer + 1, layers);
  const double share = (static_cast<double>(layer) + share_of_layer) / static_cast<double>(layers);
  const double seconds = watch_.seconds();
  const double here = share - share_before_;  // of this process
  double left = here > 0 ? seconds / here * (1 - share) : -1;
  if (countdown_) left = countdown_->seconds_left(layer, share_of_layer, seconds);
  listener_.on_progress({.what = what,
                         .share = share,
                         .seconds_left = left,
                         .resident_bytes = resident_bytes(),
                         .memory_bytes = job_.memory_bytes});
}

void Run::stop_if_asked() const {
  if (!listener_.stop_requested()) return;
  const int64_t done = work_.linears_done();
  throw Error(ErrorKind::kInterrupted,
              done == 0 ? "[run] stopped on request; nothing was written"
                        : fmt::format("[run] stopped on request; {} of {} linears are safe in {}, and the same command "
                                      "goes on",
                                      done, all_linears(job_), work_.path().string()));
}

void Run::save_streams(int64_t layers, const Streams& streams, SnapshotClock& clock) {
  const int64_t free = free_disk_bytes(work_.path());
  const SnapshotClock::Disk disk{
      .bytes = stream_bytes(streams),
      .older = work_.snapshot() ? work_.snapshot()->sum.bytes : 0,
      .budget = job_.options.disk > 0 ? static_cast<int64_t>(job_.options.disk * kBytesPerGb) : free / 2,
      .free = free,
      .still_to_write = 2 * writer_.output_bytes()};  // the units, and the result that is made of them
  if (!clock.is_due(disk)) return;
  const Stopwatch watch;
  clock_.time("write", [&] {
    work_.save_snapshot(layers, [&](const std::filesystem::path& path) { write_streams(streams, path); });
  });
  clock.saved(watch.seconds(), disk.bytes);
}

void Run::write_result(const std::filesystem::path& directory) {
  clock_.time("write", [&] { writer_.compose(work_, directory, version_); });
  clock_.time("verify", [&] { writer_.verify(work_, directory); });
}

RunRecord Run::record() const {
  RunRecord record = record_;
  record.options = job_.options;
  record.model_name = std::filesystem::weakly_canonical(job_.model_directory).filename().string();
  record.family = job_.model->config().family->name;
  record.format = job_.format->name();
  record.calibration_sequences = job_.windows ? job_.windows->count() : 0;
  record.calibration_tokens = job_.windows ? job_.windows->ids.size() : 0;
  record.compute = compute_name(job_.compute.type);
  record.compute_reason = job_.compute.reason;
  record.phases = clock_.phases();
  record.work = quantize_work(job_.model->config(), size_of(job_));
  record.output_bytes = writer_.output_bytes();
  record.bits_per_weight = writer_.bits_per_weight();
  record.resumed = work_.sessions_before();
  record.seconds_before = work_.seconds_before();
  return record;
}

}  // namespace hesse
