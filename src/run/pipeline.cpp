#include "run/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/process.h"
#include "hesse/error.h"
#include "io/file.h"
#include "run/fates.h"
#include "run/head.h"

namespace hesse {
namespace {

constexpr double kBytesPerGb = 1e9;

int64_t all_linears(const Job& job) {
  int64_t count = 0;
  for (const StageShape& stage : job.stages) {
    for (const LinearShape& linear : stage.linears) count += is_worked_on(fate_of(job, linear.name)) ? 1 : 0;
  }
  return count;
}

bool is_any(const std::vector<StagePart>& layer, StagePart part) {
  return std::find(layer.begin(), layer.end(), part) != layer.end();
}

// The first layer whose forward pass this process needs.
int64_t first_layer(const Job& job, const WorkDirectory& work) {
  if (work.is_complete()) return layer_count(job);
  if (!job.windows) return work.next().layer;
  return work.snapshot() ? work.snapshot()->layers : 0;
}

}  // namespace

StageParts parts_left(const Job& job, const WorkDirectory& work) {
  StageParts parts = parts_of(job);
  const int64_t first = first_layer(job, work);
  for (int64_t layer = 0; layer < std::ssize(parts); ++layer) {
    std::vector<StagePart>& stages = parts[static_cast<size_t>(layer)];
    if (layer < first) std::fill(stages.begin(), stages.end(), StagePart::kNothing);
    for (int64_t stage = 0; stage < std::ssize(stages); ++stage) {
      StagePart& part = stages[static_cast<size_t>(stage)];
      if (part == StagePart::kAll && !work.is_pending({layer, stage})) part = StagePart::kForward;
    }
  }
  return parts;
}

Run::Run(const Job& job, WorkDirectory& work, Listener& listener, std::string version)
    : job_(job),
      work_(work),
      listener_(listener),
      version_(std::move(version)),
      parts_(parts_of(job)),
      writer_(job),
      unit_config_(working_config(job)) {
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
  const int64_t next = work_.is_complete() ? layer_count(job_) : work_.next().layer;
  share_before_ = static_cast<double>(next) / static_cast<double>(last_layer() + 1);
  listener_.on_resumed({.linears = work_.linears_done(),
                        .of = all_linears(job_),
                        .layer = next,
                        .first_layer = first_layer(job_, work_)});
}

// In which there is something to do.
int64_t Run::last_layer() const {
  int64_t last = std::ssize(parts_) - 1;
  while (last > 0 && !is_any(parts_[static_cast<size_t>(last)], StagePart::kAll)) --last;
  return last;
}

void Run::solve(const SnapshotRule& rule) {
  if (work_.is_complete()) return;
  const int64_t first = first_layer(job_, work_), last = last_layer();
  Streams streams = first_streams(first);
  SnapshotClock snapshots(rule);
  for (int64_t layer = first; layer <= last; ++layer) {
    const std::vector<StagePart>& parts = parts_[static_cast<size_t>(layer)];
    if (!job_.windows && !is_any(parts, StagePart::kAll)) continue;
    if (two_streams_ && !streams.original && !is_any(parts, StagePart::kOneStream)) part_streams(streams);
    tell_progress(layer, 0);
    stop_if_asked();
    job_.model->prefetch(layer + 1);
    const LayerEvents events = events_of(layer);
    const bool head = layer == job_.model->config().layers;
    if (!job_.windows) {
      head ? round_head(job_, clock_, events) : round_layer(job_, layer, clock_, events);
      continue;
    }
    head ? quantize_head(job_, streams, clock_, events) : quantize_layer(job_, layer, streams, clock_, events);
    if (layer < last) save_streams(layer + 1, streams, snapshots);
  }
}

// In front of `first_layer`: the embeddings of the calibration tokens, or what was saved there.
Streams Run::first_streams(int64_t first_layer) {
  Streams streams;
  if (!job_.windows) return streams;
  if (job_.spill) streams.store = ActivationStore(work_.path());
  if (first_layer > 0) {
    clock_.time("read", [&] { read_streams(job_, work_.path() / work_.snapshot()->file, streams); });
  } else {
    clock_.time("forward", [&] { embed_tokens(streams); });
  }
  return streams;
}

void Run::embed_tokens(Streams& streams) const {
  Matrix<float>& h = streams.quantized.h;
  h = streams.store.matrix(job_.windows->ids.size(), job_.model->config().hidden);
  for_each_batch(*job_.windows, [&](Batch batch, int64_t first) {
    const Matrix<float> rows = job_.model->embed({job_.windows->ids.data() + first, static_cast<size_t>(batch.rows())},
                                                 {.length = batch.length});
    std::copy_n(rows.data(), rows.size(), h.row(first));
    streams.store.put_aside(h.view().row_range(first, batch.rows()));
  });
}

// The original model's stream begins as a copy of the other.
void Run::part_streams(Streams& streams) {
  clock_.time("forward", [&] {
    const Matrix<float>& h = streams.quantized.h;
    Matrix<float> copy = streams.store.matrix(h.rows(), h.cols());
    for_each_batch(*job_.windows, [&](Batch batch, int64_t first) {
      std::copy_n(h.row(first), batch.rows() * h.cols(), copy.row(first));
      streams.store.put_aside(h.view().row_range(first, batch.rows()));
      streams.store.put_aside(copy.view().row_range(first, batch.rows()));
    });
    streams.original.emplace(Stream{std::move(copy), {}});
  });
}

LayerEvents Run::events_of(int64_t layer) {
  return {.is_done =
              [this, layer](int64_t stage) {
                return !work_.is_pending({layer, stage});
              },
          .packed =
              [this, layer](int64_t stage, const std::string& linear) {
                return packed_before({layer, stage}, linear);
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

std::optional<QuantizedLinear> Run::packed_before(UnitPlace place, const std::string& linear) {
  if (fate_of(job_, linear) == Fate::kKeep) return job_.earlier->read(linear);
  const Unit* unit = work_.find(place);
  if (unit == nullptr) return std::nullopt;
  const auto found = std::find_if(unit->linears.begin(), unit->linears.end(),
                                  [&](const UnitLinear& done) { return done.record.name == linear; });
  if (found == unit->linears.end() || found->digest.empty()) return std::nullopt;
  if (open_place_ != place) {
    open_unit_ = work_.open(*unit);
    open_place_ = place;
  }
  return read_packed(job_, *open_unit_, *found, unit_config_);
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
  const std::string what = layer < layers ? fmt::format("layer {} of {}", layer + 1, layers) : "the head";
  const double share = (static_cast<double>(layer) + share_of_layer) / static_cast<double>(last_layer() + 1);
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

// In the order of the model, what was kept of an earlier result among them.
std::vector<LinearRecord> Run::all_records() const {
  if (!job_.earlier) return record_.linears;
  std::map<std::string_view, const LinearRecord*> solved;
  for (const LinearRecord& linear : record_.linears) solved.emplace(linear.name, &linear);
  std::vector<LinearRecord> records;
  for (const StageShape& stage : job_.stages) {
    for (const LinearShape& linear : stage.linears) {
      const auto found = solved.find(linear.name);
      if (found != solved.end()) {
        records.push_back(*found->second);
      } else if (fate_of(job_, linear.name) == Fate::kKeep) {
        records.push_back(job_.earlier->record(linear.name));
      }
    }
  }
  return records;
}

RunRecord Run::record() const {
  RunRecord record = record_;
  record.linears = all_records();
  record.options = job_.options;
  record.model_name = std::filesystem::weakly_canonical(job_.model_directory).filename().string();
  record.family = job_.model->config().family->name;
  record.format = job_.format->name();
  record.calibration_sequences = job_.windows ? job_.windows->count() : 0;
  record.calibration_tokens = job_.windows ? job_.windows->ids.size() : 0;
  if (job_.windows) record.calibration_sources = job_.windows->files;
  record.compute = compute_name(job_.compute.type);
  record.compute_reason = job_.compute.reason;
  record.phases = clock_.phases();
  record.work = quantize_work(shapes_of(job_), size_of(job_), parts_);
  record.output_bytes = writer_.output_bytes();
  record.bits_per_weight = writer_.bits_per_weight();
  record.predicted_damage = job_.predicted_damage;
  record.resumed = work_.sessions_before();
  record.seconds_before = work_.seconds_before();
  return record;
}

}  // namespace hesse
