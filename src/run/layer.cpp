#include "run/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/process.h"
#include "hesse/error.h"
#include "quant/hessian.h"
#include "quant/prepared.h"

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
void require_finite(const Hessian& hessian, const Matrix<float>& x, const Block::Stage& stage, int64_t layer, int64_t length) {
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
  throw Error(ErrorKind::kBadInput, fmt::format("[activations] layer {}, input of '{}': the sum of squares overflows", layer,
                                                stage.linears.front().name));
}

Hessian collect_hessian(const Job& job, int64_t layer, const Block::Stage& stage, const Matrix<float>& x) {
  Hessian hessian(stage.in());
  for_each_batch(*job.windows, [&](const Batch& batch, int64_t row) { hessian.add(x.view().row_range(row, batch.rows())); });
  require_finite(hessian, x, stage, layer, job.windows->length());
  hessian.finish();
  return hessian;
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

// Solves one linear and leaves in it the weights that its packed form stands for.
void solve_in_place(const Job& job, int64_t layer, Linear& linear, const PreparedHessian* prepared, PhaseClock& clock,
                    const LayerEvents& events) {
  const Stopwatch watch;
  const GridOptions grid{.search = job.options.scale_search == "minmax" ? ScaleSearch::kMinMax : ScaleSearch::kWeighted,
                         .negative_scales = !job.options.positive_scales};
  const SolveOutcome outcome = clock.time("solve", [&] {
    SolveOutcome solved = solve_linear(*job.solver, linear.weight.view(), prepared, job.spec, grid);
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

}  // namespace

PhaseClock::Scope::Scope(PhaseClock& owner, const std::string& name) : clock(owner), phase(name), start(Stopwatch::now()) {}

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

void quantize_layer(const Job& job, int64_t layer, Block& block, Matrix<float>& h, PhaseClock& clock,
                    const LayerEvents& events) {
  std::vector<Block::Stage>& stages = block.stages();
  const std::vector<double> shares = stage_shares(stages);
  Matrix<float> x(h.rows(), stages.front().in());
  clock.time("forward", [&] { block.begin(h.view(), x.view()); });
  for (size_t s = 0; s < stages.size(); ++s) {
    const PreparedHessian prepared = clock.time("hessian", [&] {
      return prepare_hessian(collect_hessian(job, layer, stages[s], x),
                             {.damping = job.options.damping, .act_order = job.options.act_order});
    });
    for (Linear& linear : stages[s].linears) {
      solve_in_place(job, layer, linear, &prepared, clock, events);
      events.progress(s == 0 ? 0 : shares[s - 1]);
    }
    const bool last = s + 1 == stages.size();
    Matrix<float> next(last ? 0 : h.rows(), last ? 0 : stages[s + 1].in());
    clock.time("forward", [&] {
      for_each_batch(*job.windows, [&](const Batch& batch, int64_t row) {
        const auto rows = [&](Matrix<float>& m) { return m.view().row_range(m.empty() ? 0 : row, m.empty() ? 0 : batch.rows()); };
        block.finish(static_cast<int64_t>(s), batch, rows(x), rows(h), rows(next));
      });
    });
    x = std::move(next);
    events.progress(shares[s]);
  }
}

void round_layer(const Job& job, int64_t layer, Block& block, PhaseClock& clock, const LayerEvents& events) {
  for (Block::Stage& stage : block.stages()) {
    for (Linear& linear : stage.linears) solve_in_place(job, layer, linear, nullptr, clock, events);
  }
  events.progress(1.0);
}

}  // namespace hesse
