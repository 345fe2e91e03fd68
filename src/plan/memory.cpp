// Each part names the place that allocates it; whoever changes a buffer there changes its line here
// (tests/plan/memory_test.cpp counts a small model by hand, bench/e2e.py compares with what runs measured).
#include "plan/memory.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/checked.h"
#include "model/model.h"
#include "plan/prediction.h"
#include "quant/descent.h"
#include "quant/gptq.h"
#include "quant/group_solver.h"
#include "quant/held_out.h"

namespace hesse {
namespace {

constexpr double kFloat = 4, kDouble = 8;  // bytes
// Measured (docs/PERFORMANCE.md, "Predicted memory"): program, libraries and their buffers; a tokenizer by its tokens.
constexpr double kBase = 35e6, kBaseOfThread = 3e6, kTokenizerEntry = 400;
constexpr int64_t kPanelColumns = 512;  // of products summed in float64 (linalg/gemm_onednn.cpp, gemm_bf16.cpp)
constexpr int64_t kLossColumns = 256;   // quick_quadratic_loss
constexpr int64_t kRankProbes = 64;     // effective_rank
constexpr int64_t kTileMatrices = 3;    // [in, kSolverRows] in float64 that a thread of the solver holds

double real(int64_t value) { return static_cast<double>(value); }

double elements(const LinearShape& linear) { return real(linear.out) * real(linear.in); }

// Capacities of Stream::x and Stream::spare (run/layer.cpp), in elements.
struct Buffers {
  double x = 0, spare = 0;

  // Room for the next input, in the memory of the spare one where that is large enough.
  double next(double wanted) const { return std::max(wanted, spare >= wanted ? spare : 0.0); }
  void step(double wanted) {
    const double taken = next(wanted);
    spare = x;
    x = taken;
  }
};

class Planner {
 public:
  Planner(const ModelShapes& model, const MemorySettings& settings)
      : model_(model), s_(settings), rows_(real(s_.size.tokens())) {
    if (s_.spill && s_.size.tokens() > 0)
      rows_ = std::min(rows_, real(std::max(batch_rows(s_.size), sequences_together() * s_.size.length)));
  }

  MemoryPlan run() {
    propose({"check", "", outside(file_of_largest_tensor())});
    for (const PlannedLayer& whole : model_.layers) {
      const PlannedLayer layer = whole.is_head() ? rows_of_head(whole) : whole;
      layer_ = &layer;
      block_weights_ = 0;
      for (const PlannedStage& stage : layer.stages) block_weights_ += of_expert(stage) ? 0 : stage_weights(stage);
      if (s_.size.tokens() == 0) {
        for (const PlannedStage& stage : layer.stages) {
          expert_ = of_expert(stage) ? kFloat * stage_weights(stage) : 0;
          add_rounding(stage);
        }
        continue;
      }
      buffers_.step(rows_of(layer.stages.front()) * real(layer.stages.front().input_width()));
      for (size_t i = 0; i < layer.stages.size(); ++i) {
        const PlannedStage& stage = layer.stages[i];
        if (i >= 2 && of_expert(stage) && layer.stages[i - 2].name == stage.name) continue;  // an expert like the last
        expert_ = of_expert(stage) ? expert_memory(i) : 0;
        add_hessian(stage);
        if (s_.size.solves) add_factor(stage);
        add_solve(stage);
        // All experts read one input, which stays; what they bring in between is in expert_memory().
        const bool last = i + 1 == layer.stages.size() || of_expert(stage);
        const PlannedStage* next = last ? nullptr : &layer.stages[i + 1];
        if (!stage.is_head()) add_forward(stage, next);
        if (next != nullptr) buffers_.step(rows_of(*next) * real(next->input_width()));
      }
    }
    layer_ = nullptr;
    expert_ = head_codes_ = 0;
    add_writing();
    return std::move(plan_);
  }

 private:
  // It is solved in parts, with the codes of all of it in memory (run/head.cpp).
  PlannedLayer rows_of_head(PlannedLayer layer) {
    LinearShape& linear = layer.stages.front().linears.front();
    head_codes_ = 2 * packed(linear);
    linear.out = std::min(linear.out, kHeadRows);
    return layer;
  }

  double streams() const { return real(s_.size.streams()); }
  double rows_of(const PlannedStage& stage) const { return rows_ * stage.token_share; }

  double base() const { return kBase + kBaseOfThread * real(s_.threads) + kTokenizerEntry * real(model_.vocab); }

  // Mapped pages of the weight files count while they are looked at.
  double file_of_largest_tensor() const {
    double largest = real(model_.vocab) * real(model_.hidden);
    for (const PlannedLayer& layer : model_.layers) {
      for (const PlannedStage& stage : layer.stages) {
        for (const LinearShape& linear : stage.linears) largest = std::max(largest, elements(linear));
      }
    }
    return largest * real(s_.file_bytes);
  }

  double packed(const LinearShape& linear) const {
    return elements(linear) + real(s_.spec.groups(linear.in)) * real(linear.out) * (kFloat + 1);
  }
  double packed(const PlannedStage& stage) const {
    double bytes = 0;
    for (const LinearShape& linear : stage.linears) bytes += packed(linear);
    return bytes;
  }
  double largest_packed() const {
    double largest = 0;
    for (const PlannedLayer& layer : model_.layers) {
      for (const PlannedStage& stage : layer.stages) {
        for (const LinearShape& linear : stage.linears) largest = std::max(largest, 2 * packed(linear));
      }
    }
    return largest;
  }

  // The rows of the calibration tokens that were looked up stay mapped, 16 pages at a time. Tokens repeat: as measured,
  // one in ten falls where chance would put it.
  double embedding() const {
    constexpr double kWindow = 16 * 4096, kRepeats = 10;
    const double bytes = real(model_.vocab) * real(model_.hidden) * real(s_.file_bytes);
    return bytes * (1 - std::exp(-real(s_.size.tokens()) / kRepeats * kWindow / bytes));
  }

  double activations() const {
    if (s_.size.tokens() == 0) return 0;
    return streams() * (rows_ * real(model_.hidden) * kFloat + (buffers_.x + buffers_.spare) * real(s_.compute_bytes));
  }

  static bool of_expert(const PlannedStage& stage) { return stage.expert != kNoExpert; }

  // The two stages of the expert whose turn it is, of which `stage` is one: weights, what its tokens read and what they
  // bring in between, and the sample of all tokens beside them (run/expert_flow.cpp).
  double expert_memory(size_t stage) const {
    const std::vector<PlannedStage>& stages = layer_->stages;
    const bool last = stage + 1 == stages.size() || stages[stage].name.ends_with("down");
    const PlannedStage& first = stages[last ? stage - 1 : stage];
    const PlannedStage& second = stages[last ? stage : stage + 1];
    const double sample = std::min(rows_, real(kBatchRows));
    const double all = stage_weights(first) + stage_weights(second);
    // Some experts get more than their share.
    constexpr double kCrowd = 2;
    const double rows = std::min(rows_, kCrowd * rows_of(first));
    const double inputs = (streams() * rows + sample) * (real(first.in()) + real(second.in()));
    return (streams() * all + inputs) * real(s_.compute_bytes);
  }

  double block_weights() const {
    return block_weights_ * (s_.size.tokens() == 0 ? kFloat : streams() * real(s_.compute_bytes));
  }

  std::vector<MemoryPart> outside(double files) const { return {{"program", base()}, {"weight files", files}}; }
  std::vector<MemoryPart> in_layer() const {
    std::vector<MemoryPart> parts = {{"program", base()},
                                     {"weight files", embedding()},
                                     {"weights of a layer", block_weights()},
                                     {"activations", activations()}};
    if (expert_ > 0) parts.push_back({"an expert", expert_});
    if (head_codes_ > 0) parts.push_back({"codes of the head", head_codes_});
    return parts;
  }

  double hessian(const PlannedStage& stage) const {
    double bytes = 0;
    for (const ColumnRange& range : hessian_blocks(stage, s_.size))
      bytes += kDouble * real(range.count) * real(range.count);
    return bytes;
  }
  // Of a sample that is added to it.
  double largest_block(const PlannedStage& stage) const {
    double largest = 0;
    for (const ColumnRange& range : hessian_blocks(stage, s_.size))
      largest = std::max(largest, kDouble * real(range.count) * real(range.count));
    return largest;
  }
  // As run/collect.cpp decides: with sequences enough and room for two.
  double held_out(const PlannedStage& stage) const {
    const LinearSpec spec{.group_size = s_.size.group_size};
    const bool room = split_columns(stage.in(), spec.group_width(stage.in()), s_.size.hessian_bytes / 2).size() == 1;
    return room && s_.size.sequences >= kHeldOutEvery ? kDouble * real(stage.in()) * real(stage.in()) : 0;
  }
  bool by_output(const PlannedStage& stage) const {
    return stage.writes_residual || hessian_blocks(stage, s_.size).size() > 1;
  }
  double drift(const PlannedStage& stage) const {
    if (drift_sum(stage, s_.size) == DriftSum::kNone) return 0;
    return kDouble * (by_output(stage) ? stage_weights(stage) : real(stage.in()) * real(stage.in()));
  }
  double targets(const PlannedStage& stage) const { return kFloat * stage_weights(stage); }

  // Sequences that go through the sums together, as in run/collect.cpp.
  int64_t sequences_together() const {
    const int64_t between = (kHeldOutEvery - 1) * s_.size.length;
    const int64_t together =
        between > kBatchRows ? kBatchRows / s_.size.length : kHeldOutEvery * (kBatchRows / between);
    return std::clamp<int64_t>(together, 1, s_.size.sequences);
  }
  double collecting(const PlannedStage& stage) const {
    const double in = real(stage.in()), width = real(s_.compute_bytes);
    const double rows = std::min(rows_of(stage), real(sequences_together() * s_.size.length));
    double scratch = std::min(rows, real(kBatchRows)) * in * kFloat;  // panels of the Gram matrix
    // What is held out of more than five sequences leaves gaps, and the rest is copied.
    if (held_out(stage) > 0 && sequences_together() > kHeldOutEvery) scratch += rows * in * width;
    if (drift_sum(stage, s_.size) == DriftSum::kNone) return scratch;
    const double panel = kPanelColumns * in * kFloat;  // of a product
    if (s_.compute_bytes == 4 && is_summed_behind(stage, s_.size))
      return std::max(scratch, rows * real(stage.linears.front().out) * kFloat + panel);
    double sums = rows * in * width + panel;  // the difference, and its product
    if (by_output(stage)) sums += rows * real(stage.linears.front().out) * (kFloat + width);
    return std::max(scratch, sums);
  }

  double group_factors(int64_t in) const {
    const int64_t width = std::min(s_.spec.group_width(in), in);
    if (width > kWidestJointGroup) return 0;
    return real(in) * real(width) * (s_.sweeps > 0 ? 4 : 1.5) * kDouble;
  }

  // The gradients of the tiles that go through a group together, and what they read of H.
  double descending(const LinearShape& linear) const {
    if (s_.sweeps == 0) return 0;
    const double rows = std::min(real(linear.out), real(tiles_together(s_.threads) * kSolverRows));
    return (rows + real(s_.spec.group_width(linear.in))) * real(linear.in) * kFloat;
  }

  void add_hessian(const PlannedStage& stage) {
    std::vector<MemoryPart> parts = in_layer();
    parts.push_back({"hessians", hessian(stage) + held_out(stage) + (of_expert(stage) ? largest_block(stage) : 0)});
    parts.push_back({"drift", drift(stage)});
    parts.push_back({"scratch", collecting(stage)});
    propose({"hessian", stage.linears.front().name, std::move(parts)});
  }

  void add_factor(const PlannedStage& stage) {
    const double in = real(stage.in());
    const double tile = kTileMatrices * in * real(kSolverRows) * kDouble;
    const double sampled = held_out(stage) > 0 ? held_out(stage) + group_factors(stage.in()) + tile : 0;
    double widest = 0;
    for (const LinearShape& linear : stage.linears) widest = std::max(widest, elements(linear));
    double moved = 0;
    if (drift(stage) > 0)
      moved = widest * (2 * kFloat + (by_output(stage) ? 0 : kDouble)) +
              real(s_.threads) * in * real(kSolverRows) * kDouble;
    std::vector<MemoryPart> parts = in_layer();
    parts.push_back({"hessians", hessian(stage)});
    parts.push_back({"drift", drift(stage)});
    parts.push_back({"targets", targets(stage)});
    parts.push_back({"scratch", std::max({sampled, moved, 2 * kRankProbes * in * kDouble})});
    propose({"factor", stage.linears.front().name, std::move(parts)});
  }

  // Of the largest linear, the others of the stage being solved: its target once more, its codes twice, and either the
  // solver's own or what its losses are measured with.
  void add_solve(const PlannedStage& stage) {
    const LinearShape& linear =
        *std::max_element(stage.linears.begin(), stage.linears.end(),
                          [](const LinearShape& a, const LinearShape& b) { return elements(a) < elements(b); });
    const double in = real(linear.in), all = elements(linear);
    const double tiles = real(std::min(s_.threads, ceil_div(linear.out, kSolverRows)));
    const double solving = tiles * kTileMatrices * in * real(kSolverRows) * kDouble;
    const double measuring = all * (kFloat + 1) + real(kLossColumns) * (in + real(linear.out)) * kFloat;
    std::vector<MemoryPart> parts = in_layer();
    parts.push_back({"hessians", hessian(stage)});
    parts.push_back({"targets", targets(stage) + all * kFloat});
    parts.push_back({"codes", packed(stage) + packed(linear)});
    parts.push_back({"scratch", std::max(group_factors(linear.in) + std::max(solving, descending(linear)), measuring)});
    propose({"solve", linear.name, std::move(parts)});
  }

  void add_writing() {
    std::vector<MemoryPart> parts = outside(std::max(file_of_largest_tensor(), largest_packed()));
    parts.push_back({"activations", activations()});
    std::vector<MemoryPart> reading = parts;
    if (s_.assembles) {
      const auto [both, larger] = experts_together();
      parts.push_back({"experts of a layer", both});
      reading.push_back({"experts of a layer", both + larger});  // and the pages they are compared with
    }
    propose({"write", "", std::move(parts)});
    propose({"verify", "", std::move(reading)});
  }

  // Bytes of the two tensors of all experts of a layer, and of the larger one. Expert after expert gives a part of
  // either, so both are there until the last has come.
  std::pair<double, double> experts_together() const {
    constexpr double kHalf = 2;  // bytes
    double both = 0, larger = 0;
    for (const PlannedLayer& layer : model_.layers) {
      double down = 0, gate_up = 0;
      for (const PlannedStage& stage : layer.stages) {
        if (stage.routed) (stage.linears.size() == 1 ? down : gate_up) += kHalf * stage_weights(stage);
      }
      both = std::max(both, gate_up + down);
      larger = std::max({larger, gate_up, down});
    }
    return {both, larger};
  }

  // A linear by itself, without calibration.
  void add_rounding(const PlannedStage& stage) {
    std::vector<MemoryPart> parts = in_layer();
    parts.push_back({"targets", kFloat * elements(stage.linears.front())});
    parts.push_back({"codes", 2 * packed(stage.linears.front())});
    propose({"solve", stage.linears.front().name, std::move(parts)});
  }

  // Outputs of the linears of a stage for one batch; with bfloat16 those that become inputs have a float32 form first.
  void add_forward(const PlannedStage& stage, const PlannedStage* next) {
    const double rows = std::min(rows_of(stage), real(batch_rows(s_.size)));
    double outputs = 0;
    for (const LinearShape& linear : stage.linears) outputs += real(linear.out);
    if (s_.compute_bytes == 4 && stage.linears.size() > 1) outputs -= real(stage.linears.front().out);
    double scratch = rows * outputs * kFloat;
    if (stage.name == "qkv" || stage.name == "kv_b")
      scratch += 2 * rows * real(layer_->kv_width) * kFloat;  // keys and values by heads
    const double q = real(layer_->score_width) / 2;
    if (stage.name == "qkv" && real(stage.linears.front().out) > q)  // one linear, whose rows are dealt out
      scratch += rows * (2 * real(layer_->kv_width) + (s_.compute_bytes == 4 ? 0 : q)) * kFloat;
    Buffers after = buffers_;
    if (next != nullptr) after.step(rows_of(*next) * real(next->input_width()));
    const Buffers before = std::exchange(buffers_, after);
    std::vector<MemoryPart> parts = in_layer();
    buffers_ = before;
    parts.push_back({"codes", packed(stage)});
    parts.push_back({"scratch", scratch});
    propose({"forward", stage.linears.front().name, std::move(parts)});
  }

  // Keeps the larger one of each phase.
  void propose(PhaseMemory phase) {
    for (PhaseMemory& known : plan_.phases) {
      if (known.phase != phase.phase) continue;
      if (known.bytes() < phase.bytes()) known = std::move(phase);
      return;
    }
    plan_.phases.push_back(std::move(phase));
  }

  const ModelShapes& model_;
  const MemorySettings& s_;
  double rows_;  // of the activations in memory
  const PlannedLayer* layer_ = nullptr;
  double block_weights_ = 0;  // of the layer, without experts
  double expert_ = 0;         // bytes of the expert whose turn it is
  double head_codes_ = 0;     // bytes, once it is the head's turn
  Buffers buffers_;
  MemoryPlan plan_;
};

int64_t whole(double bytes) {
  constexpr double kMost = 9e18;
  return static_cast<int64_t>(std::min(bytes, kMost));
}

}  // namespace

double PhaseMemory::bytes() const {
  double sum = 0;
  for (const MemoryPart& part : parts) sum += part.bytes;
  return sum;
}

const PhaseMemory& MemoryPlan::peak() const {
  return *std::max_element(phases.begin(), phases.end(),
                           [](const PhaseMemory& a, const PhaseMemory& b) { return a.bytes() < b.bytes(); });
}

int64_t MemoryPlan::peak_bytes() const { return whole(peak().bytes()); }

MemoryPlan plan_memory(const ModelShapes& model, const MemorySettings& settings) {
  return Planner(model, settings).run();
}

}  // namespace hesse
