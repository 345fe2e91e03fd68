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
};

class Collector {
 public:
  Collector(const Job& job, const Block::Stage& stage, const Streams& streams)
      : job_(job), stage_(stage), streams_(streams) {
    const int64_t group_width = job.spec.group_width(stage.in());
    result_.ranges = split_columns(stage.in(), group_width, job.hessian_memory_bytes);
    for (const ColumnRange& range : result_.ranges) result_.hessians.emplace_back(range.count);
    const bool whole = result_.ranges.size() == 1;
    const bool room_for_two = split_columns(stage.in(), group_width, job.hessian_memory_bytes / 2).size() == 1;
    if (room_for_two && job.windows->count() >= kHeldOutEvery) result_.held_out.emplace(stage.in());
    if (!streams.original) return;
    if (stage.writes_residual || !whole) {
      ShiftOptions targets = job.gptq.targets;
      if (!stage.writes_residual) targets.residual = 0;
      for (const Linear& linear : stage.linears) result_.outputs.emplace_back(linear.weight.view(), targets);
    } else if (job.gptq.targets.shift != 0) {
      result_.input.emplace(stage.in());
    }
  }

  Collected run() {
    for_each_batch(*job_.windows, [&](const Batch& batch, int64_t first) { add(batch, first); });
    return std::move(result_);
  }

 private:
  BatchRows rows_of(int64_t first, int64_t count) const {
    const auto rows = [&](const auto& m) { return ConstComputeView(m.view()).row_range(first, count); };
    BatchRows batch{.x = rows(streams_.quantized.x), .original_x = {}, .h = {}, .original_h = {}, .copies = {}};
    if (streams_.original) batch.original_x = rows(streams_.original->x);
    if (streams_.original && stage_.writes_residual) {
      batch.h = rows(streams_.quantized.h);
      batch.original_h = rows(streams_.original->h);
    }
    return batch;
  }

  void add(const Batch& batch, int64_t first) {
    // Whole sequences are held out, so that neighbours of a token do not betray it.
    for (int64_t s = 0; s < batch.sequences; ++s) {
      const int64_t sample = first / batch.length + s;
      const bool held = result_.held_out && sample % kHeldOutEvery == kHeldOutEvery - 1;
      if (held) add_rows(first + s * batch.length, batch.length, true);
    }
    if (!result_.held_out) return add_rows(first, batch.rows(), false);
    for (int64_t s = 0; s < batch.sequences;) {
      int64_t end = s;
      while (end < batch.sequences && (first / batch.length + end) % kHeldOutEvery != kHeldOutEvery - 1) ++end;
      if (end > s) add_rows(first + s * batch.length, (end - s) * batch.length, false);
      s = end + 1;
    }
  }

  void add_rows(int64_t first, int64_t count, bool held_out) {
    BatchRows batch = rows_of(first, count);
    leave_out_unusable(batch, first);
    if (batch.x.rows == 0) return;
    if (held_out) {
      result_.held_out->add(batch.x);
    } else {
      for (size_t r = 0; r < result_.ranges.size(); ++r) {
        const ColumnRange range = result_.ranges[r];
        result_.hessians[r].add(batch.x.block(0, range.first, batch.x.rows, range.count));
      }
    }
    if (result_.input) result_.input->add(batch.original_x, batch.x);
    for (OutputDrift& output : result_.outputs)
      output.add(batch.original_x, batch.x, batch.original_h.f32(), batch.h.f32());
  }

  void leave_out_unusable(BatchRows& batch, int64_t first) {
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
    result_.left_out += batch.x.rows - static_cast<int64_t>(good.size());
    if (static_cast<int64_t>(good.size()) < batch.x.rows) batch.keep_only(good);
  }

  BadToken describe(const BatchRows& batch, int64_t row, int64_t first) const {
    const int64_t length = job_.windows->length();
    BadToken bad{.sample = (first + row) / length, .token = (first + row) % length};
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
  Collected result_;
};

}  // namespace

Collected collect(const Job& job, const Block::Stage& stage, const Streams& streams) {
  return Collector(job, stage, streams).run();
}

}  // namespace hesse
