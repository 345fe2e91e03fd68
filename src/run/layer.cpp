#include "run/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <utility>

#include "base/process.h"
#include "hesse/error.h"
#include "run/collect.h"
#include "run/expert_flow.h"
#include "run/fates.h"
#include "run/stage.h"

namespace hesse {
namespace {

// Share of a layer's work that is done when its stage `stage` is: by weights, all of a layer being one.
std::vector<double> stage_shares(const Job& job, int64_t layer) {
  std::vector<double> shares;
  double sum = 0;
  for (const StageShape& stage : layer_stages(job.model->config(), layer)) {
    for (const LinearShape& linear : stage.linears)
      sum += static_cast<double>(linear.out) * static_cast<double>(linear.in);
    shares.push_back(sum);
  }
  for (double& share : shares) share /= sum;
  return shares;
}

// As a record has it: the shared one is none of those that tokens are sent to.
int64_t routed_expert(const Job& job, const Block::Stage& stage) {
  return stage.expert < job.model->config().experts.count ? stage.expert : kNoExpert;
}

class LayerRun {
 public:
  LayerRun(const Job& job, int64_t layer, Streams& streams, PhaseClock& clock, const LayerEvents& events)
      : job_(job), layer_(layer), streams_(streams), clock_(clock), events_(events), block_(clock.time("read", [&] {
          return job.model->block(layer, ReadExperts::kWhenNeeded);
        })) {
    if (!streams.original) return;
    original_.emplace(clock.time("read", [&] { return job.model->block(layer, ReadExperts::kWhenNeeded); }));
  }

  void run() {
    begin(block_, streams_.quantized);
    if (original_) begin(*original_, *streams_.original);
    const std::vector<double> shares = stage_shares(job_, layer_);
    for (size_t s = 0; s < shares.size(); ++s) {
      if (block_.stages()[s].expert != kNoExpert) enter_expert(s);
      if (events_.is_done(static_cast<int64_t>(s))) {
        take_done(s);
      } else {
        solve_and_finish(s, s == 0 ? 0 : shares[s - 1]);
      }
      events_.progress(shares[s]);
      events_.between_stages();
    }
  }

 private:
  void begin(const Block& block, Stream& stream) {
    replace_x(stream, next_x(stream, 0));
    clock_.time("forward", [&] {
      for_each_batch(*job_.windows, [&](Batch batch, int64_t first) {
        const auto h = stream.h.view().row_range(first, batch.rows());
        const ComputeView x = stream.x.view().row_range(first, batch.rows());
        block.begin(h, x);
        put_aside({h, x});
      });
    });
  }

  void enter_expert(size_t stage) {
    Block* const original = original_ ? &*original_ : nullptr;
    if (!experts_) clock_.time("forward", [&] { experts_.emplace(job_, block_, original, streams_); });
    clock_.time("read", [&] { experts_->enter(stage); });
  }

  void solve_and_finish(size_t index, double share) {
    Block::Stage& stage = block_.stages()[index];
    const bool original_first = original_ && sums_behind(job_, stage);
    if (original_first) finish(*original_, index, *streams_.original, nullptr);
    std::vector<SolvedLinear> solved = solve(index, share);
    std::vector<float> peaks(stage.linears.size(), 0.0f);
    finish_streams(index, &peaks, !original_first);
    for (SolvedLinear& linear : solved) {
      const float peak = peaks[index_of(stage, linear.record.name)];
      if (std::isfinite(peak)) linear.record.largest_output = static_cast<double>(peak);
    }
    clock_.time("write", [&] { events_.solved(static_cast<int64_t>(index), solved); });
  }

  void take_done(size_t index) {
    Block::Stage& stage = block_.stages()[index];
    clock_.time("read", [&] {
      for (Linear& linear : stage.linears) take_packed(index, linear);
    });
    finish_streams(index, nullptr);
  }

  // `original`: that of the original model too.
  void finish_streams(size_t stage, std::vector<float>* peaks, bool original = true) {
    if (experts_) return clock_.time("forward", [&] { experts_->finish(stage, peaks); });
    finish(block_, stage, streams_.quantized, peaks);
    if (original_ && original) finish(*original_, stage, *streams_.original, nullptr);
  }

  void take_packed(size_t index, Linear& linear) const {
    const std::optional<QuantizedLinear> packed = events_.packed(static_cast<int64_t>(index), linear.name);
    if (packed) set_weight(linear, *packed);
  }

  static size_t index_of(const Block::Stage& stage, const std::string& name) {
    const auto found = std::find_if(stage.linears.begin(), stage.linears.end(),
                                    [&](const Linear& linear) { return linear.name == name; });
    return static_cast<size_t>(found - stage.linears.begin());
  }

  void set_weight(Linear& linear, const QuantizedLinear& packed) const {
    linear.weight = to_compute_type(block_.compute(), dequantize(packed));
  }

  // Of the linears that the run is about. Leaves in all of them the weights that their packed forms stand for.
  std::vector<SolvedLinear> solve(size_t index, double share) {
    Block::Stage& stage = block_.stages()[index];
    Collected collected = clock_.time("hessian", [&] { return collect_for(index); });
    judge_unusable(job_, layer_, stage, collected, events_);
    PreparedStage prepared = clock_.time("factor", [&] { return prepare_stage(job_, layer_, stage, collected); });
    std::vector<SolvedLinear> solved;
    for (size_t i = 0; i < stage.linears.size(); ++i) {
      const Fate fate = fate_of(job_, stage.linears[i].name);
      if (!is_worked_on(fate)) continue;
      const Stopwatch watch;
      solved.push_back(clock_.time("solve", [&] {
        return fate == Fate::kSkip ? skip_linear(job_, layer_, stage.linears[i])
                                   : solve_in_stage(job_, layer_, stage, i, collected, prepared);
      }));
      solved.back().record.seconds = watch.seconds();
      solved.back().record.expert = routed_expert(job_, stage);
      events_.progress(share);
    }
    // Only now: the targets of all linears refer to the original weights.
    for (const SolvedLinear& linear : solved) {
      if (linear.packed) set_weight(stage.linears[index_of(stage, linear.record.name)], *linear.packed);
    }
    for (Linear& linear : stage.linears) {
      if (fate_of(job_, linear.name) == Fate::kKeep) take_packed(index, linear);
    }
    return solved;
  }

  Collected collect_for(size_t index) {
    const Block::Stage& stage = block_.stages()[index];
    if (!experts_) return collect(job_, stage, streams_);
    const Intake intake = experts_->intake(index);
    return collect(job_, stage, experts_->streams(), &intake);
  }

  void finish(const Block& block, size_t stage, Stream& stream, std::vector<float>* peaks) {
    const bool last = stage + 1 == block_.stages().size();
    ComputeMatrix next = last ? ComputeMatrix() : next_x(stream, stage + 1);
    clock_.time("forward", [&] {
      for_each_batch(*job_.windows, [&](Batch batch, int64_t first) {
        batch.output_peaks = peaks;
        const auto rows = [&](auto& m) { return m.view().row_range(first, batch.rows()); };
        const ComputeView output = last ? ComputeView() : rows(next);
        block.finish(static_cast<int64_t>(stage), batch, rows(stream.x), rows(stream.h), output);
        put_aside({rows(stream.x), rows(stream.h), output});
      });
    });
    if (!last) replace_x(stream, std::move(next));
  }

  // Room for the input of `stage`.
  ComputeMatrix next_x(Stream& stream, size_t stage) {
    return streams_.store.matrix_in(std::exchange(stream.spare, {}), block_.compute(), stream.h.rows(),
                                    block_.stages()[stage].input_width());
  }
  void put_aside(std::initializer_list<ConstComputeView> rows) const {
    for (const ConstComputeView& view : rows) streams_.store.put_aside(view);
  }
  static void replace_x(Stream& stream, ComputeMatrix x) {
    stream.spare = std::move(stream.x);
    stream.x = std::move(x);
  }

  const Job& job_;
  int64_t layer_;
  Streams& streams_;
  PhaseClock& clock_;
  const LayerEvents& events_;
  Block block_;
  std::optional<Block> original_;
  std::optional<ExpertFlow> experts_;  // from the first of them on
};

}  // namespace

PhaseClock::Scope::Scope(PhaseClock& owner, const std::string& name)
    : clock(owner), phase(name), start(Stopwatch::now()) {}

PhaseClock::Scope::~Scope() {
  const double seconds = Stopwatch::now() - start;
  for (PhaseTime& entry : clock.phases_) {
    if (entry.name == phase) {
      entry.seconds += seconds;
      return;
    }
  }
  clock.phases_.push_back({phase, seconds});
}

void judge_unusable(const Job& job, int64_t layer, const Block::Stage& stage, const Collected& collected,
                    const LayerEvents& events) {
  if (collected.left_out == 0) return;
  const BadToken& bad = *collected.first_bad;
  const double share = static_cast<double>(collected.left_out) / static_cast<double>(job.windows->ids.size());
  const std::string what =
      fmt::format("layer {}, input of '{}': {} at sample {}, token {}, channel {}{}; {} of {} tokens cannot be used",
                  layer, stage.linears.front().name, bad.value, bad.sample, bad.token, bad.channel,
                  bad.original ? " (original model)" : "", collected.left_out, job.windows->ids.size());
  if (share > job.options.max_nonfinite) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[activations] {}, more than --max-nonfinite {}; the model overflows on this text, or its "
                            "weights are damaged",
                            what, job.options.max_nonfinite));
  }
  events.unusable_tokens(what);
}

void quantize_layer(const Job& job, int64_t layer, Streams& streams, PhaseClock& clock, const LayerEvents& events) {
  LayerRun(job, layer, streams, clock, events).run();
}

void round_layer(const Job& job, int64_t layer, PhaseClock& clock, const LayerEvents& events) {
  Block block = clock.time("read", [&] { return job.model->block(layer, ReadExperts::kWhenNeeded); });
  const std::vector<double> shares = stage_shares(job, layer);
  for (size_t s = 0; s < shares.size(); ++s) {
    const auto stage = static_cast<int64_t>(s);
    if (events.is_done(stage)) continue;
    const bool is_expert = block.stages()[s].expert != kNoExpert;
    if (is_expert) clock.time("read", [&] { block.read_stage(stage); });
    std::vector<SolvedLinear> solved;
    for (const Linear& linear : block.stages()[s].linears) {
      const Fate fate = fate_of(job, linear.name);
      if (!is_worked_on(fate)) continue;
      const Stopwatch watch;
      solved.push_back(clock.time("solve", [&] {
        return fate == Fate::kSkip ? skip_linear(job, layer, linear) : solve_alone(job, layer, linear);
      }));
      solved.back().record.seconds = watch.seconds();
      solved.back().record.expert = routed_expert(job, block.stages()[s]);
    }
    if (is_expert) block.drop_stage(stage);
    clock.time("write", [&] { events.solved(stage, solved); });
    events.progress(shares[s]);
    events.between_stages();
  }
}

}  // namespace hesse
