#include "run/collect.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/checked.h"
#include "quant/held_out.h"

namespace hesse {
namespace {

constexpr float kLargestUsable = 0x1p+60f;  // beyond, even sums of squares in float64 lose their meaning

bool usable(float peak) { return peak < kLargestUsable; }

// The rows of one batch in all matrices that a stage needs; those of tokens that cannot be used are left out.
struct BatchRows {
  ConstComputeView x, original_x, h, original_h;
  std::vector<ComputeMatrix> copies;

  void keep_only(const std::vector<int64_t>& rows) {
    for (ConstComputeView* view : {&x, &original_x, &h, &original_h}) {
      if (view->data == nullptr) continue;
      copies.push_back(copy_rows(*view, rows));
      *view = std::as_const(copies.back()).view();
    }
  }

  void weigh(const std::vector<float>& weights) {
    for (ConstComputeView* view : {&x, &original_x}) {
      if (view->data == nullptr) continue;
      copies.push_back(weighted_rows(*view, weights));
      *view = std::as_const(copies.back()).view();
    }
  }
};

class Collector {
 public:
  Collector(const Job& job, const Block::Stage& stage, const Streams& streams, const Intake* intake)
      : job_(job), stage_(stage), streams_(streams), intake_(intake) {
    const int64_t width = group_width(job, stage);
    result_.ranges = split_columns(stage.in(), width, job.hessian_memory_bytes);
    for (const ColumnRange& range : result_.ranges) result_.hessians.emplace_back(range.count);
    const bool whole = result_.ranges.size() == 1;
    const bool room_for_two = split_columns(stage.in(), width, job.hessian_memory_bytes / 2).size() == 1;
    if (room_for_two && job.windows->count() >= kHeldOutEvery) result_.held_out.emplace(stage.in());
    if (!streams.original) return;
    if (sums_behind(job, stage)) {
      const Linear& linear = stage.linears.front();
      result_.residual.emplace(linear.weight.rows(), stage.in(), linear.bias);
    } else if (stage.writes_residual || !whole) {
      ShiftOptions targets = job.gptq.targets;
      if (!stage.writes_residual) targets.residual = 0;
      for (const Linear& linear : stage.linears) result_.outputs.emplace_back(linear.weight.view(), targets);
    } else if (job.gptq.targets.shift != 0) {
      result_.input.emplace(stage.in());
    }
  }

  Collected run() {
    const int64_t rows = streams_.quantized.x.rows(), step = together() * job_.windows->length();
    for (int64_t first = 0; first < rows; first += step) add(first, std::min(step, rows - first));
    if (intake_ != nullptr && intake_->sample.data != nullptr) add_sample();
    return std::move(result_);
  }

 private:
  BatchRows rows_of(int64_t first, int64_t count) const {
    const auto rows = [&](const auto& m) { return ConstComputeView(m.view()).row_range(first, count); };
    // What passes behind the columns of the linears is none of their business.
    const auto columns = [&](const ComputeMatrix& m) { return m.view().block(first, 0, count, stage_.in()); };
    BatchRows batch{.x = columns(streams_.quantized.x), .original_x = {}, .h = {}, .original_h = {}, .copies = {}};
    if (streams_.original && !result_.residual) batch.original_x = columns(streams_.original->x);
    if (streams_.original && stage_.writes_residual) {
      batch.h = rows(streams_.quantized.h);
      batch.original_h = rows(streams_.original->h);
    }
    return batch;
  }

  // Sequences at a time: as many as bring kBatchRows of rows that are not held out, where they are short enough.
  int64_t together() const {
    const int64_t length = job_.windows->length();
    const int64_t between = (kHeldOutEvery - 1) * length;  // rows from one that is held out to the next
    if (between > kBatchRows) return std::max<int64_t>(1, kBatchRows / length);
    return kHeldOutEvery * (kBatchRows / between);
  }

  int64_t token_of(int64_t row) const {
    return intake_ == nullptr ? row : intake_->tokens.rows[static_cast<size_t>(row)];
  }

  // Whole sequences are held out, so that neighbours of a token do not betray it.
  bool is_held_out(int64_t row) const {
    return result_.held_out && token_of(row) / job_.windows->length() % kHeldOutEvery == kHeldOutEvery - 1;
  }

  void add(int64_t first, int64_t rows) {
    BatchRows batch = rows_of(first, rows);
    add_rows(batch, first);
    const BatchRows all = rows_of(first, rows);
    for (const ConstComputeView& view : {all.x, all.original_x, all.h, all.original_h}) streams_.store.put_aside(view);
  }

  void add_rows(BatchRows& batch, int64_t first) {
    const std::vector<int64_t> good = usable_rows(batch, first);
    result_.left_out += batch.x.rows - std::ssize(good);
    if (good.empty()) return;
    if (std::ssize(good) < batch.x.rows) batch.keep_only(good);
    if (intake_ != nullptr) batch.weigh(weights_of(good, first));
    std::vector<int64_t> fit, held_out;  // of the rows that were kept
    for (int64_t r = 0; r < std::ssize(good); ++r)
      (is_held_out(first + good[static_cast<size_t>(r)]) ? held_out : fit).push_back(r);
    add_to_hessians(batch.x, fit, held_out);
    if (result_.input) result_.input->add(batch.original_x, batch.x);
    if (result_.residual) result_.residual->add(batch.original_h.f32(), batch.h.f32(), batch.x);
    for (OutputDrift& output : result_.outputs)
      output.add(batch.original_x, batch.x, batch.original_h.f32(), batch.h.f32());
  }

  std::vector<float> weights_of(const std::vector<int64_t>& rows, int64_t first) {
    std::vector<float> weights;
    for (const int64_t row : rows) {
      const float weight = intake_->tokens.weight(first + row);
      weights.push_back(std::isfinite(weight) ? weight : 0);
      weight_squares_ += double{weights.back()} * weights.back();
    }
    weighed_ += std::ssize(rows);
    return weights;
  }

  // Adding n tokens' worth of the mean of the sample shrinks the Hessian of T tokens towards it by n / (n + T).
  void add_sample() {
    result_.unreached = weighed_ == 0;
    const std::vector<float> peaks = row_peaks(intake_->sample);
    std::vector<int64_t> good;
    for (size_t r = 0; r < peaks.size(); ++r) {
      if (usable(peaks[r])) good.push_back(static_cast<int64_t>(r));
    }
    if (good.empty()) return;
    const double weight = weighed_ == 0 ? 1 : weight_squares_ / static_cast<double>(weighed_);
    const double tokens = std::max(1.0, kSampledShare * static_cast<double>(stage_.in()));
    const ComputeMatrix rows = copy_rows(intake_->sample, good);
    for (size_t r = 0; r < result_.ranges.size(); ++r) {
      const ColumnRange range = result_.ranges[r];
      Hessian sampled(range.count);
      sampled.add(rows.view().block(0, range.first, rows.rows(), range.count));
      result_.hessians[r].add_scaled(sampled, tokens * weight / static_cast<double>(good.size()));
    }
  }

  void add_to_hessians(ConstComputeView x, const std::vector<int64_t>& fit, const std::vector<int64_t>& held_out) {
    ComputeMatrix copy;
    if (!held_out.empty()) result_.held_out->add(some_rows(x, held_out, copy));
    if (fit.empty()) return;
    const ConstComputeView rows = some_rows(x, fit, copy);
    for (size_t r = 0; r < result_.ranges.size(); ++r) {
      const ColumnRange range = result_.ranges[r];
      result_.hessians[r].add(rows.block(0, range.first, rows.rows, range.count));
    }
  }

  // The rows `rows`, in rising order, of x: in place where they lie together, else in `copy`.
  static ConstComputeView some_rows(ConstComputeView x, const std::vector<int64_t>& rows, ComputeMatrix& copy) {
    const int64_t count = std::ssize(rows);
    if (rows.back() - rows.front() + 1 == count) return x.row_range(rows.front(), count);
    copy = copy_rows(x, rows);
    return std::as_const(copy).view();
  }

  // What is wrong with the others is noted.
  std::vector<int64_t> usable_rows(const BatchRows& batch, int64_t first) {
    std::vector<float> peaks = row_peaks(batch.x);
    const std::vector<float> quantized = peaks;
    for (const ConstComputeView* view : {&batch.original_x, &batch.h, &batch.original_h}) {
      if (view->data == nullptr) continue;
      const std::vector<float> more = row_peaks(*view);
      for (size_t r = 0; r < peaks.size(); ++r) peaks[r] = usable(more[r]) ? peaks[r] : more[r];
    }
    std::vector<int64_t> good;
    for (size_t r = 0; r < peaks.size(); ++r) {
      if (usable(peaks[r])) {
        good.push_back(static_cast<int64_t>(r));
        result_.largest_activation = std::max(result_.largest_activation, quantized[r]);
      } else if (!result_.first_bad) {
        result_.first_bad = describe(batch, static_cast<int64_t>(r), first);
      }
    }
    return good;
  }

  BadToken describe(const BatchRows& batch, int64_t row, int64_t first) const {
    const int64_t length = job_.windows->length();
    BadToken bad{.sample = token_of(first + row) / length, .token = token_of(first + row) % length};
    const auto find = [&](ConstComputeView m) {
      for (int64_t c = 0; m.data != nullptr && c < m.cols; ++c) {
        if (usable(std::abs(m.at(row, c)))) continue;
        bad.channel = c;
        bad.value = m.at(row, c);
        return true;
      }
      return false;
    };
    if (find(batch.x) || find(batch.h)) return bad;
    bad.original = find(batch.original_x) || find(batch.original_h);
    return bad;
  }

  const Job& job_;
  const Block::Stage& stage_;
  const Streams& streams_;
  const Intake* intake_;
  Collected result_;
  double weight_squares_ = 0;  // of the tokens that were used
  int64_t weighed_ = 0;
};

}  // namespace

bool sums_behind(const Job& job, const Block::Stage& stage) {
  const int64_t width = group_width(job, stage);
  const bool whole = split_columns(stage.in(), width, job.hessian_memory_bytes).size() == 1;
  const auto tokens = static_cast<int64_t>(job.windows->ids.size());
  return stage.writes_residual && whole && stage.linears.front().weight.type() == ComputeType::kF32 &&
         can_sum_behind(job.gptq.targets, stage.in(), tokens);
}

Collected collect(const Job& job, const Block::Stage& stage, const Streams& streams, const Intake* intake) {
  return Collector(job, stage, streams, intake).run();
}

}  // namespace hesse
