#include "run/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "hesse/error.h"
#include "quant/error_count.h"
#include "quant/solver.h"
#include "quant/target.h"

namespace hesse {
namespace {

// Of the weights that the forward pass has; what rounding to bfloat16 does to it is far below what it is looked at for.
double rms_of(const Linear& linear) {
  const ConstComputeView weight = linear.weight.view();
  double sum = 0;
  for (int64_t row = 0; row < weight.rows; ++row) {
    for (int64_t column = 0; column < weight.cols; ++column) {
      const double value = weight.type == ComputeType::kF32
                               ? static_cast<double>(weight.f32()(row, column))
                               : static_cast<double>(bf16_to_float(weight.bf16()(row, column)));
      sum += value * value;
    }
  }
  const double rms = std::sqrt(sum / static_cast<double>(std::max<int64_t>(1, linear.weight.size())));
  return std::isfinite(rms) ? rms : -1;
}

LinearRecord shape_record(const Job& job, int64_t layer, const Linear& linear) {
  LinearRecord record;
  record.name = linear.name;
  record.layer = layer;
  record.out = linear.weight.rows();
  record.in = linear.weight.cols();
  const LinearSpec spec = choice_of(job, linear.name).spec;
  record.bits = spec.bits;
  record.group_size = spec.group_size;
  record.symmetric = spec.symmetric;
  record.weight_rms = rms_of(linear);
  return record;
}

LinearStatus status_of(SolveRoute route, const PreparedHessian& prepared) {
  if (route == SolveRoute::kNoFactor) return LinearStatus::kFallback;
  if (route == SolveRoute::kRoundingBetter) return LinearStatus::kRoundingBetter;
  if (prepared.raised_to_floor > 0) return LinearStatus::kEigenvalueFloor;
  return prepared.factorizations > 1 ? LinearStatus::kDampingRaised : LinearStatus::kOk;
}

// Of several ranges: counts add up, of the rest the worst is kept.
void add_hessian_facts(const PreparedHessian& prepared, SolveRoute route, LinearRecord& record) {
  const HessianFacts& facts = prepared.facts;
  record.status = std::max(record.status, status_of(route, prepared));
  record.damping = std::max(record.damping, prepared.damping);
  record.factorizations = std::max(record.factorizations, prepared.factorizations);
  record.failed_minor = std::max(record.failed_minor, prepared.failed_minor);
  record.dead_channels += facts.dead_channels;
  record.duplicate_channels += facts.duplicate_channels;
  record.effective_rank += facts.effective_rank;
  record.condition = std::max(record.condition, facts.condition);
  record.peak_diagonal = std::max(record.peak_diagonal, facts.peak);
}

void set_losses(const SolveOutcome& outcome, double samples, LinearRecord& record) {
  record.clip_rate = outcome.clip_rate;
  record.floored_scales = outcome.floored_scales;
  if (outcome.loss < 0) return;
  record.loss = outcome.loss / (samples * samples);
  // A Hessian of zeros gives no error and no energy.
  record.relative_error = outcome.energy > 0 ? outcome.loss / outcome.energy : 0;
  record.rtn_relative_error = outcome.energy > 0 ? outcome.rtn_loss / outcome.energy : 0;
}

// Columns `range` of `from` into their place in `to`.
void put_columns(const QuantizedLinear& from, const ColumnRange& range, QuantizedLinear& to) {
  for (int64_t row = 0; row < from.out(); ++row)
    std::copy_n(from.codes.row(row), range.count, to.codes.row(row) + range.first);
  const int64_t group = range.first / to.spec.group_width(to.in());
  for (int64_t g = 0; g < from.scales.rows(); ++g) {
    std::copy_n(from.scales.row(g), from.out(), to.scales.row(group + g));
    std::copy_n(from.zeros.row(g), from.out(), to.zeros.row(group + g));
  }
}

Matrix<float> columns_of(MatrixView<const float> weight, const ColumnRange& range) {
  Matrix<float> part(weight.rows, range.count);
  for (int64_t row = 0; row < weight.rows; ++row)
    std::copy_n(weight.row(row) + range.first, range.count, part.row(row));
  return part;
}

void put_columns(const Matrix<float>& from, const ColumnRange& range, Matrix<float>& to) {
  for (int64_t row = 0; row < from.rows(); ++row) std::copy_n(from.row(row), range.count, to.row(row) + range.first);
}

// The weight to quantize: the file's, also where the forward pass multiplies by a rounded one.
Matrix<float> original_weight(const Job& job, const Linear& linear) {
  if (linear.weight.type() == ComputeType::kF32) return linear.weight.f32().clone();
  return job.source->linear(linear.name);
}

bool all_finite(const Matrix<float>& m) {
  return std::all_of(m.data(), m.data() + m.size(), [](float value) { return std::isfinite(value); });
}

// Of the weights in the file: the targets may have been shifted, and the forward pass may have rounded.
std::vector<int64_t> weight_errors(const Job& job, const Linear& linear, const QuantizedLinear& packed) {
  constexpr ErrorBins kBins{.steps = kErrorSteps, .count = kErrorBins};
  if (linear.weight.type() == ComputeType::kF32) return count_errors(linear.weight.f32().view(), packed, kBins);
  return count_errors(job.source->linear(linear.name).view(), packed, kBins);
}

// The sum of the parts. A measure that one part lacks (-1) is lacking in the whole.
void add_outcome(const SolveOutcome& part, double share, SolveOutcome& whole) {
  const auto add = [](double value, double& sum) { sum = (value < 0 || sum < 0) ? -1 : sum + value; };
  add(part.loss, whole.loss);
  add(part.rtn_loss, whole.rtn_loss);
  add(part.energy, whole.energy);
  whole.clip_rate += part.clip_rate * share;
  whole.floored_scales += part.floored_scales;
}

// How the Hessian of a stage is prepared for `linear`.
PrepareOptions prepare_options(const Job& job, const Linear& linear, double damping_by_data) {
  const LinearChoice choice = choice_of(job, linear.name);
  return {.damping = choice.damping == kDampingByData ? damping_by_data : choice.damping,
          .order = job.gptq.order,
          .group_width = choice.spec.group_width(linear.weight.cols())};
}

// Measures the held-out errors of all linears where sequences were held out, and with them the damping of those that
// leave it to the data; `prepared` has their weights as targets.
void compare_held_out(const Job& job, const Block::Stage& stage, Collected& collected, PreparedStage& prepared) {
  Hessian& fit = collected.hessians.front();
  if (!collected.held_out || collected.held_out->tokens == 0 || fit.tokens == 0 || !job.solver->needs_hessian) return;
  std::vector<LinearChoice> choices;
  for (const Linear& linear : stage.linears) choices.push_back(choice_of(job, linear.name));
  const bool by_data = std::any_of(choices.begin(), choices.end(),
                                   [](const LinearChoice& choice) { return choice.damping == kDampingByData; });
  std::vector<MatrixView<const float>> weights;
  for (const Matrix<float>& weight : prepared.targets) weights.emplace_back(weight.view());
  GptqOptions options = job.gptq;
  options.damping = kStandardDamping;
  if (by_data)
    prepared.damping_by_data = best_damping(weights, fit, *collected.held_out, choices.front().spec, options);
  PreparedHessian fitted =
      prepare_hessian(std::move(fit), prepare_options(job, stage.linears.front(), prepared.damping_by_data));
  for (size_t i = 0; i < weights.size(); ++i) {
    const PrepareOptions preparing = prepare_options(job, stage.linears[i], prepared.damping_by_data);
    prepare_for(preparing, fitted);
    options.damping = preparing.damping;
    if (fitted.factored())
      prepared.held_out[i] = held_out_errors(weights[i], fitted, *collected.held_out, choices[i].spec, options);
  }
  fit = fitted.release();
}

// Moves the targets of all linears away from their weights, with a factor of its own for each range of columns. The
// drift of `collected` is used up.
void shift_targets(const Job& job, Collected& collected, const PrepareOptions& solving,
                   std::vector<Matrix<float>>& targets) {
  if (!collected.input && !collected.residual && collected.outputs.empty()) return;
  std::optional<Matrix<double>> behind;  // of the one linear of its stage, where H is whole
  if (collected.residual) {
    behind = collected.residual->correction(targets.front().view(), collected.hessians.front(), job.gptq.targets);
    collected.residual.reset();
  }
  for (size_t r = 0; r < collected.ranges.size(); ++r) {
    const ColumnRange& range = collected.ranges[r];
    Hessian& hessian = collected.hessians[r];
    PrepareOptions options = solving;
    options.damping = target_damping(job.gptq.targets, solving.damping, range.count, hessian.tokens);
    PreparedHessian regression = prepare_hessian(std::move(hessian), options);
    for (size_t i = 0; i < targets.size(); ++i) {
      Matrix<double> shared;  // linears that share the drift of their input have one range only
      if (collected.input) shared = collected.input->correction(targets[i].view(), job.gptq.targets);
      const Matrix<double>& correction = behind            ? *behind
                                         : collected.input ? shared
                                                           : collected.outputs[i].correction();
      const Matrix<float> weight = columns_of(targets[i].view(), range);
      const auto part = correction.view().block(0, range.first, weight.rows(), range.count);
      put_columns(shifted_target(weight.view(), part, regression), range, targets[i]);
    }
    hessian = regression.release();
  }
  collected.input.reset();
  collected.outputs.clear();
}

}  // namespace

PreparedStage prepare_stage(const Job& job, int64_t layer, const Block::Stage& stage, Collected& collected) {
  PreparedStage prepared;
  prepared.held_out.resize(stage.linears.size());
  for (const Linear& linear : stage.linears) prepared.targets.push_back(original_weight(job, linear));
  compare_held_out(job, stage, collected, prepared);
  if (collected.held_out) collected.hessians.front().add(*collected.held_out);
  collected.held_out.reset();
  const PrepareOptions options = prepare_options(job, stage.linears.front(), prepared.damping_by_data);
  shift_targets(job, collected, options, prepared.targets);
  for (size_t i = 0; i < stage.linears.size(); ++i) {
    if (all_finite(prepared.targets[i])) continue;
    throw Error(ErrorKind::kInternal,
                fmt::format("[target] layer {}, '{}' is not finite", layer, stage.linears[i].name));
  }
  for (Hessian& hessian : collected.hessians) prepared.hessians.push_back(prepare_hessian(std::move(hessian), options));
  return prepared;
}

SolvedLinear solve_in_stage(const Job& job, int64_t layer, const Block::Stage& stage, size_t index,
                            const Collected& collected, PreparedStage& prepared) {
  const Linear& linear = stage.linears[index];
  const LinearSpec spec = choice_of(job, linear.name).spec;
  LinearRecord record = shape_record(job, layer, linear);
  record.tokens = prepared.hessians.front().tokens;
  record.tokens_left_out = collected.left_out;
  record.largest_activation = static_cast<double>(collected.largest_activation);
  record.hessian_blocks = static_cast<int64_t>(collected.ranges.size());
  record.fit_error = prepared.held_out[index].fit;
  record.held_out_error = prepared.held_out[index].held_out;
  const int64_t groups = spec.groups(record.in);
  QuantizedLinear packed{spec, Matrix<uint8_t>(record.out, record.in), Matrix<float>(groups, record.out),
                         Matrix<uint8_t>(groups, record.out),
                         contiguous_groups(record.in, spec.group_width(record.in))};
  SolveOutcome whole{.linear = {}, .loss = 0, .rtn_loss = 0, .energy = 0};
  // Of an expert that no token reached nothing is known but what tokens in general look like.
  const Solver& chosen = collected.unreached ? solver("rtn") : *job.solver;
  for (size_t r = 0; r < collected.ranges.size(); ++r) {
    const ColumnRange& range = collected.ranges[r];
    PreparedHessian& hessian = prepared.hessians[r];
    prepare_for(prepare_options(job, linear, prepared.damping_by_data), hessian);
    const Matrix<float> target = columns_of(prepared.targets[index].view(), range);
    const SolveOutcome outcome = solve_linear(chosen, target.view(), &hessian, spec, job.gptq);
    put_columns(outcome.linear, range, packed);
    add_outcome(outcome, static_cast<double>(range.count) / static_cast<double>(record.in), whole);
    add_hessian_facts(hessian, outcome.route, record);
  }
  if (collected.unreached) record.status = LinearStatus::kUnreached;
  set_losses(whole, static_cast<double>(job.windows->count()), record);
  record.weight_errors = weight_errors(job, linear, packed);
  return {std::move(record), std::move(packed), whole.energy};
}

SolvedLinear skip_linear(const Job& job, int64_t layer, const Linear& linear) {
  LinearRecord record = shape_record(job, layer, linear);
  record.status = LinearStatus::kSkipped;
  return {std::move(record), std::nullopt};
}

SolvedLinear solve_alone(const Job& job, int64_t layer, const Linear& linear) {
  const LinearSpec spec = choice_of(job, linear.name).spec;
  SolveOutcome outcome = solve_linear(*job.solver, original_weight(job, linear).view(), nullptr, spec, job.gptq);
  LinearRecord record = shape_record(job, layer, linear);
  set_losses(outcome, 1, record);
  record.weight_errors = weight_errors(job, linear, outcome.linear);
  return {std::move(record), std::move(outcome.linear)};
}

}  // namespace hesse
