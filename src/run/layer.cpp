#include "run/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/process.h"
#include "hesse/error.h"
#include "quant/hessian.h"
#include "quant/prepared.h"
#include "quant/target.h"

namespace hesse {
namespace {

constexpr int64_t kBatchRows = 2048;  // tokens that go through the linears together

// Calls body(batch, first row) for consecutive groups of whole sequences.
template <class Body>
void for_each_batch(const Windows& windows, Body body) {
  const int64_t together = std::max<int64_t>(1, kBatchRows / windows.length());
  for (int64_t first = 0; first < windows.count(); first += together) {
    const Batch batch{.sequences = std::min(together, windows.count() - first), .length = windows.length()};
    body(batch, first * windows.length());
  }
}

// H has a non-finite diagonal exactly when an input has a non-finite value, or one whose square overflows.
void require_finite(const Hessian& hessian, const Matrix<float>& x, const Block::Stage& stage, int64_t layer,
                    int64_t length) {
  bool finite = true;
  for (int64_t i = 0; i < hessian.in(); ++i) finite = finite && std::isfinite(hessian.sum(i, i));
  if (finite) return;
  constexpr float kSquareOverflows = 1e18f;
  for (int64_t row = 0; row < x.rows(); ++row) {
    for (int64_t i = 0; i < x.cols(); ++i) {
      if (std::abs(x(row, i)) < kSquareOverflows) continue;  // false for NaN
      throw Error(ErrorKind::kBadInput,
                  fmt::format("[activations] layer {}, input of '{}': {} at sample {}, token {}, channel {}; the model "
                              "overflows on this text, or its weights are damaged",
                              layer, stage.linears.front().name, x(row, i), row / length, row % length, i));
    }
  }
  throw Error(ErrorKind::kBadInput, fmt::format("[activations] layer {}, input of '{}': the sum of squares overflows",
                                                layer, stage.linears.front().name));
}

LinearRecord make_record(const Job& job, int64_t layer, const Linear& linear, const SolveOutcome& outcome,
                         const PreparedHessian* prepared) {
  LinearRecord record;
  record.name = linear.name;
  record.layer = layer;
  record.out = linear.weight.rows();
  record.in = linear.weight.cols();
  record.bits = job.spec.bits;
  record.group_size = job.spec.group_size;
  record.symmetric = job.spec.symmetric;
  record.clip_rate = outcome.clip_rate;
  if (prepared == nullptr) return record;
  const double samples = static_cast<double>(job.windows->count());
  record.loss = outcome.loss / (samples * samples);
  // A Hessian of zeros gives no error and no energy.
  record.relative_error = outcome.energy > 0 ? outcome.loss / outcome.energy : 0;
  record.rtn_relative_error = outcome.energy > 0 ? outcome.rtn_loss / outcome.energy : 0;
  record.damping = prepared->damping;
  record.factorizations = prepared->factorizations;
  record.failed_minor = prepared->failed_minor;
  record.dead_channels = prepared->dead_channels;
  record.tokens = prepared->hessian.tokens;
  if (outcome.fallback) {
    record.status = LinearStatus::kFallback;
  } else if (prepared->factorizations > 1) {
    record.status = LinearStatus::kDampingRaised;
  }
  return record;
}

// Solves one linear towards `target` and leaves in it the weights that its packed form stands for.
void solve_in_place(const Job& job, int64_t layer, Linear& linear, MatrixView<const float> target,
                    const PreparedHessian* prepared, PhaseClock& clock, const LayerEvents& events) {
  const Stopwatch watch;
  const GridOptions grid{.search = job.options.scale_search == "minmax" ? ScaleSearch::kMinMax : ScaleSearch::kWeighted,
                         .negative_scales = !job.options.positive_scales};
  const SolveOutcome outcome = clock.time("solve", [&] {
    SolveOutcome solved = solve_linear(*job.solver, target, prepared, job.spec, grid);
    linear.weight = dequantize(solved.linear);
    return solved;
  });
  LinearRecord record = make_record(job, layer, linear, outcome, prepared);
  record.seconds = watch.seconds();
  clock.time("write", [&] { events.solved(record, outcome.linear); });
}

// Share of a layer's work that is done when its stage `stage` is: by weights, all of a layer being one.
std::vector<double> stage_shares(const std::vector<Block::Stage>& stages) {
  std::vector<double> shares;
  double sum = 0;
  for (const Block::Stage& stage : stages) {
    for (const Linear& linear : stage.linears) sum += static_cast<double>(linear.weight.size());
    shares.push_back(sum);
  }
  for (double& share : shares) share /= sum;
  return shares;
}

bool all_finite(const Matrix<float>& m) {
  return std::all_of(m.data(), m.data() + m.size(), [](float value) { return std::isfinite(value); });
}

class LayerRun {
 public:
  LayerRun(const Job& job, int64_t layer, Streams& streams, PhaseClock& clock, const LayerEvents& events)
      : job_(job), layer_(layer), streams_(streams), clock_(clock), events_(events), block_(clock.time("read", [&] {
          return job.model->block(layer);
        })) {
    if (streams.original) original_.emplace(clock.time("read", [&] { return job.model->block(layer); }));
  }

  void run() {
    begin(block_, streams_.quantized);
    if (original_) begin(*original_, *streams_.original);
    const std::vector<double> shares = stage_shares(block_.stages());
    for (size_t s = 0; s < shares.size(); ++s) {
      Block::Stage& stage = block_.stages()[s];
      const Collected collected = clock_.time("hessian", [&] { return collect(stage); });
      for (Linear& linear : stage.linears) {
        const Matrix<float> target = clock_.time("solve", [&] { return target_of(linear, collected); });
        solve_in_place(job_, layer_, linear, target.view(), &collected.prepared, clock_, events_);
        events_.progress(s == 0 ? 0 : shares[s - 1]);
      }
      finish(block_, s, streams_.quantized);
      if (original_) finish(*original_, s, *streams_.original);
      events_.progress(shares[s]);
    }
  }

 private:
  // What one pass over the tokens says of a stage.
  struct Collected {
    PreparedHessian prepared;
    std::optional<InputDrift> input;    // of linears that share their input
    std::optional<OutputDrift> output;  // of a linear that writes into the residual stream
  };

  ShiftOptions shift() const { return {.shift = job_.options.shift, .residual = job_.options.residual}; }

  void begin(const Block& block, Stream& stream) {
    stream.x = Matrix<float>(stream.h.rows(), block_.stages().front().in());
    clock_.time("forward", [&] { block.begin(stream.h.view(), stream.x.view()); });
  }

  Collected collect(const Block::Stage& stage) const {
    Hessian hessian(stage.in());
    std::optional<InputDrift> input;
    std::optional<OutputDrift> output;
    if (original_ && stage.writes_residual) output.emplace(stage.linears.front().weight.view(), shift());
    if (original_ && !stage.writes_residual && shift().shift != 0) input.emplace(stage.in());
    for_each_batch(*job_.windows, [&](const Batch& batch, int64_t first) {
      const auto rows = [&](const Matrix<float>& m) { return m.view().row_range(first, batch.rows()); };
      const Stream& quantized = streams_.quantized;
      hessian.add(rows(quantized.x));
      if (input) input->add(rows(streams_.original->x), rows(quantized.x));
      if (output)
        output->add(rows(streams_.original->x), rows(quantized.x), rows(streams_.original->h), rows(quantized.h));
    });
    require_finite(hessian, streams_.quantized.x, stage, layer_, job_.windows->length());
    hessian.finish();
    return {prepare_hessian(std::move(hessian), {.damping = job_.options.damping, .act_order = job_.options.act_order}),
            std::move(input), std::move(output)};
  }

  Matrix<float> target_of(const Linear& linear, const Collected& collected) const {
    const auto weight = linear.weight.view();
    if (!collected.output && !collected.input) return linear.weight.clone();
    Matrix<float> target =
        collected.output ? shifted_target(weight, collected.output->correction(), collected.prepared)
                         : shifted_target(weight, collected.input->correction(weight, shift()), collected.prepared);
    // The quantized stream was looked at already: only the original one can have brought this in.
    if (!all_finite(target)) {
      throw Error(
          ErrorKind::kBadInput,
          fmt::format("[activations] layer {}, '{}': the activations of the original model are not finite; it "
                      "overflows on this text, or its weights are damaged (--shift 0 --residual 0 does without)",
                      layer_, linear.name));
    }
    return target;
  }

  void finish(const Block& block, size_t stage, Stream& stream) {
    const bool last = stage + 1 == block_.stages().size();
    Matrix<float> next(last ? 0 : stream.h.rows(), last ? 0 : block_.stages()[stage + 1].in());
    clock_.time("forward", [&] {
      for_each_batch(*job_.windows, [&](const Batch& batch, int64_t first) {
        const auto rows = [&](Matrix<float>& m) { return m.view().row_range(first, batch.rows()); };
        block.finish(static_cast<int64_t>(stage), batch, rows(stream.x), rows(stream.h),
                     last ? MatrixView<float>() : rows(next));
      });
    });
    stream.x = std::move(next);
  }

  const Job& job_;
  int64_t layer_;
  Streams& streams_;
  PhaseClock& clock_;
  const LayerEvents& events_;
  Block block_;
  std::optional<Block> original_;
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

void quantize_layer(const Job& job, int64_t layer, Streams& streams, PhaseClock& clock, const LayerEvents& events) {
  LayerRun(job, layer, streams, clock, events).run();
}

void round_layer(const Job& job, int64_t layer, PhaseClock& clock, const LayerEvents& events) {
  Block block = clock.time("read", [&] { return job.model->block(layer); });
  for (Block::Stage& stage : block.stages()) {
    for (Linear& linear : stage.linears) {
      const Matrix<float> target = linear.weight.clone();
      solve_in_place(job, layer, linear, target.view(), nullptr, clock, events);
    }
  }
  events.progress(1.0);
}

}  // namespace hesse
