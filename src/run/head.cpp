#include "run/head.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/process.h"
#include "run/collect.h"
#include "run/fates.h"
#include "run/stage.h"

namespace hesse {
namespace {

// Rows of one linear that were solved apart, as if together.
class Rows {
 public:
  void add(SolvedLinear part) {
    const double rows = static_cast<double>(part.record.out);
    energy_ += add_share(part.record.relative_error, part.energy, error_);
    add_share(part.record.rtn_relative_error, part.energy, rtn_error_);
    add_share(part.record.fit_error, part.energy, fit_error_);
    add_share(part.record.held_out_error, part.energy, held_out_error_);
    add_share(part.record.clip_rate, rows, clip_rate_);
    add_share(part.record.weight_rms * part.record.weight_rms, rows, mean_square_);
    if (parts_.empty()) {
      record_ = part.record;
    } else {
      add_record(part.record);
    }
    parts_.push_back(std::move(*part.packed));
  }

  SolvedLinear joined() {
    const auto mean = [](double sum, double of) { return sum < 0 ? -1 : of > 0 ? sum / of : 0; };
    const double rows = static_cast<double>(record_.out);
    record_.relative_error = mean(error_, energy_);
    record_.rtn_relative_error = mean(rtn_error_, energy_);
    record_.fit_error = mean(fit_error_, energy_);
    record_.held_out_error = mean(held_out_error_, energy_);
    record_.clip_rate = mean(clip_rate_, rows);
    record_.weight_rms = std::sqrt(mean(mean_square_, rows));
    return {record_, joined_codes(), energy_};
  }

 private:
  // Adds `weight` * `value` to `sum`, both -1 where one part has no value; returns the weight that counts.
  static double add_share(double value, double weight, double& sum) {
    if (value < 0 || weight < 0) sum = -1;
    if (sum >= 0) sum += weight * value;
    return std::max(0.0, weight);
  }

  void add_record(const LinearRecord& part) {
    record_.out += part.out;
    record_.loss = record_.loss < 0 || part.loss < 0 ? -1 : record_.loss + part.loss;
    record_.status = std::max(record_.status, part.status);
    record_.damping = std::max(record_.damping, part.damping);
    record_.factorizations = std::max(record_.factorizations, part.factorizations);
    record_.floored_scales += part.floored_scales;
    for (size_t bin = 0; bin < record_.weight_errors.size(); ++bin)
      record_.weight_errors[bin] += part.weight_errors[bin];
  }

  QuantizedLinear joined_codes() {
    const QuantizedLinear& first = parts_.front();
    const int64_t groups = first.scales.rows();
    QuantizedLinear whole{first.spec, Matrix<uint8_t>(record_.out, first.in()), Matrix<float>(groups, record_.out),
                          Matrix<uint8_t>(groups, record_.out), first.group_of};
    int64_t row = 0;
    for (const QuantizedLinear& part : parts_) {
      std::copy_n(part.codes.data(), part.codes.size(), whole.codes.row(row));
      for (int64_t g = 0; g < groups; ++g) {
        std::copy_n(part.scales.row(g), part.out(), whole.scales.row(g) + row);
        std::copy_n(part.zeros.row(g), part.out(), whole.zeros.row(g) + row);
      }
      row += part.out();
    }
    parts_.clear();
    return whole;
  }

  LinearRecord record_;
  std::vector<QuantizedLinear> parts_;
  double energy_ = 0, error_ = 0, rtn_error_ = 0, fit_error_ = 0, held_out_error_ = 0, clip_rate_ = 0, mean_square_ = 0;
};

// Calls solve(rows [count, in] as a linear) for all of the head, part by part, and commits what comes of it.
template <class Solve>
void solve_head(const Job& job, PhaseClock& clock, const LayerEvents& events, Solve solve) {
  const ModelConfig& config = job.model->config();
  const LinearShape& shape = job.head->linears.front();
  const Stopwatch watch;
  std::vector<SolvedLinear> solved;
  if (fate_of(job, shape.name) == Fate::kSkip) {
    solved.push_back(skip_linear(job, config.layers, {.name = shape.name, .weight = {}, .bias = {}}));
    solved.back().record.out = shape.out;
    solved.back().record.in = shape.in;
  } else {
    Rows rows;
    for (int64_t first = 0; first < shape.out; first += kHeadRows) {
      const int64_t count = std::min(kHeadRows, shape.out - first);
      rows.add(solve(clock.time("read", [&] { return head_slice(config, *job.source, first, count); })));
      job.source->release(shape.name);
      events.progress(static_cast<double>(first + count) / static_cast<double>(shape.out));
      events.between_stages();
    }
    solved.push_back(rows.joined());
  }
  solved.back().record.seconds = watch.seconds();
  clock.time("write", [&] { events.solved(0, solved); });
}

// What the head multiplies, in the place of the stream's x.
void make_input(const Job& job, const ActivationStore& store, Stream& stream) {
  const ModelConfig& config = job.model->config();
  const HeadInput input(config, *job.source, job.compute.type);
  stream.x =
      store.matrix_in(std::exchange(stream.spare, {}), job.compute.type, stream.h.rows(), config.embedding_width);
  for_each_batch(*job.windows, [&](Batch batch, int64_t first) {
    const auto h = stream.h.view().row_range(first, batch.rows());
    const ComputeView x = stream.x.view().row_range(first, batch.rows());
    input.make(h, x);
    for (const ConstComputeView view : {ConstComputeView(h), ConstComputeView(x)}) store.put_aside(view);
  });
}

Block::Stage stage_of(Linear rows) {
  Block::Stage stage;
  stage.name = kHeadStage;
  stage.linears.push_back(std::move(rows));
  return stage;
}

// Sums are made with weights of the type that the inputs have.
Collected collect_for(const Job& job, const Linear& rows, const Streams& streams) {
  ComputeMatrix weight = to_compute_type(job.compute.type, rows.weight.f32().clone());
  return collect(job, stage_of({rows.name, std::move(weight), {}}), streams);
}

}  // namespace

void quantize_head(const Job& job, Streams& streams, PhaseClock& clock, const LayerEvents& events) {
  if (events.is_done(0)) return;
  const int64_t layer = job.model->config().layers;
  clock.time("forward", [&] {
    make_input(job, streams.store, streams.quantized);
    if (streams.original) make_input(job, streams.store, *streams.original);
  });
  solve_head(job, clock, events, [&](Linear rows) {
    Collected collected = clock.time("hessian", [&] { return collect_for(job, rows, streams); });
    const Block::Stage stage = stage_of(std::move(rows));
    judge_unusable(job, layer, stage, collected, events);
    PreparedStage prepared = clock.time("factor", [&] { return prepare_stage(job, layer, stage, collected); });
    return clock.time("solve", [&] { return solve_in_stage(job, layer, stage, 0, collected, prepared); });
  });
}

void round_head(const Job& job, PhaseClock& clock, const LayerEvents& events) {
  if (events.is_done(0)) return;
  solve_head(job, clock, events, [&](const Linear& rows) {
    return clock.time("solve", [&] { return solve_alone(job, job.model->config().layers, rows); });
  });
}

}  // namespace hesse
