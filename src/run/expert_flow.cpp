#include "run/expert_flow.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/checked.h"

namespace hesse {
namespace {

constexpr int64_t kSampledTokens = kBatchRows;

std::vector<int64_t> evenly_spread(int64_t tokens) {
  std::vector<int64_t> rows;
  const int64_t count = std::min(tokens, kSampledTokens);
  for (int64_t i = 0; i < count; ++i) rows.push_back(i * tokens / count);
  return rows;
}

template <class Body>
void for_each_chunk(int64_t rows, Body body) {
  for (int64_t first = 0; first < rows; first += kBatchRows) body(first, std::min(kBatchRows, rows - first));
}

}  // namespace

ExpertFlow::ExpertFlow(const Job& job, Block& block, Block* original, Streams& streams)
    : job_(job), block_(block), original_(original), streams_(streams), routing_(block.no_routing()) {
  own_.store = streams.store;
  if (original != nullptr) own_.original.emplace();
  const ConstComputeView x = streams.quantized.x.view();
  for_each_chunk(x.rows,
                 [&](int64_t first, int64_t count) { block.route(x.row_range(first, count), first, routing_); });
  sample_ = copy_rows(x, evenly_spread(x.rows));
}

bool ExpertFlow::is_shared(size_t stage) const {
  return block_.stages()[stage].expert == job_.model->config().experts.count;
}

void ExpertFlow::enter(size_t stage) {
  block_.read_stage(static_cast<int64_t>(stage));
  if (original_ != nullptr) original_->read_stage(static_cast<int64_t>(stage));
  if (!is_first(stage)) return;
  tokens_ = &routing_[static_cast<size_t>(block_.stages()[stage].expert)];
  gather(stage, streams_.quantized, own_.quantized);
  if (original_ != nullptr) gather(stage, *streams_.original, *own_.original);
}

void ExpertFlow::gather(size_t stage, Stream& from, Stream& to) {
  if (is_shared(stage)) {  // the last, and it reads all of them
    to.x = std::exchange(from.x, {});
    return;
  }
  to.x = own_.store.matrix_in(std::exchange(to.spare, {}), block_.compute(), tokens_->count(), from.x.cols());
  for_each_chunk(tokens_->count(), [&](int64_t first, int64_t count) {
    const auto rows = std::span(tokens_->rows).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    const ComputeView target = to.x.view().row_range(first, count);
    copy_rows_to(std::as_const(from.x).view(), rows, target);
    own_.store.put_aside(target);
  });
}

Intake ExpertFlow::intake(size_t stage) {
  if (is_shared(stage)) return {*tokens_};
  if (is_first(stage)) return {*tokens_, std::as_const(sample_).view()};
  sampled_ = ComputeMatrix(block_.compute(), sample_.rows(), block_.stages()[stage].in());
  block_.finish_gate_up(static_cast<int64_t>(stage) - 1, std::as_const(sample_).view(), sampled_.view(), nullptr);
  return {*tokens_, std::as_const(sampled_).view()};
}

void ExpertFlow::finish(size_t stage, std::vector<float>* peaks) {
  float* const own_peaks = peaks == nullptr ? nullptr : peaks->data();
  if (is_first(stage)) {
    finish_gate_up(block_, stage, own_.quantized, own_peaks);
    if (original_ != nullptr) finish_gate_up(*original_, stage, *own_.original, nullptr);
    return;
  }
  finish_down(block_, stage, own_.quantized, streams_.quantized.h, own_peaks);
  if (original_ != nullptr) finish_down(*original_, stage, *own_.original, streams_.original->h, nullptr);
  leave(stage);
}

void ExpertFlow::finish_gate_up(const Block& block, size_t stage, Stream& stream, float* peaks) {
  ComputeMatrix next = own_.store.matrix_in({}, block_.compute(), tokens_->count(), block_.stages()[stage + 1].in());
  for_each_chunk(tokens_->count(), [&](int64_t first, int64_t count) {
    const ConstComputeView x = std::as_const(stream.x).view().row_range(first, count);
    const ComputeView output = next.view().row_range(first, count);
    block.finish_gate_up(static_cast<int64_t>(stage), x, output, peaks);
    own_.store.put_aside(x);
    own_.store.put_aside(output);
  });
  stream.spare = std::exchange(stream.x, std::move(next));
}

void ExpertFlow::finish_down(const Block& block, size_t stage, Stream& stream, Matrix<float>& h, float* peaks) {
  for_each_chunk(tokens_->count(), [&](int64_t first, int64_t count) {
    const ConstComputeView x = std::as_const(stream.x).view().row_range(first, count);
    block.finish_down(static_cast<int64_t>(stage), x, tokens_->part(first, count), h.view(), peaks);
    own_.store.put_aside(x);
  });
  own_.store.put_aside(h.view());
}

void ExpertFlow::leave(size_t stage) {
  for (Block* block : {&block_, original_}) {
    if (block == nullptr) continue;
    block->drop_stage(static_cast<int64_t>(stage) - 1);
    block->drop_stage(static_cast<int64_t>(stage));
  }
  own_.quantized.x = {};
  if (own_.original) own_.original->x = {};
  sampled_ = {};
}

}  // namespace hesse
