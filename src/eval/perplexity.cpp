#include "eval/perplexity.h"

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/kernels.h"

namespace hesse {
namespace {

constexpr int64_t kBatchRows = 2048;                   // tokens that go through the linears together
constexpr int64_t kLogitBytes = int64_t{64} << 20;     // of one piece of the head's output

// Adds the losses of one group of windows whose residual stream is h [windows * length, hidden].
void add_losses(const Model::Head& head, const Model& model, MatrixView<const int32_t> ids, const Matrix<float>& h,
                Likelihood& sum) {
  const int64_t length = ids.cols;
  const int64_t piece = std::clamp<int64_t>(kLogitBytes / (4 * model.config().vocab), 1, kBatchRows);
  for (int64_t first = 0; first < h.rows(); first += piece) {
    const int64_t rows = std::min(piece, h.rows() - first);
    const Matrix<float> logits = head.logits(h.view().row_range(first, rows));
    std::vector<double> losses(static_cast<size_t>(rows), 0.0);
    parallel_for(rows, [&](int64_t r) {
      const int64_t row = first + r;
      if (row % length == length - 1) return;  // the last token of a window predicts nothing
      const int32_t target = ids(row / length, row % length + 1);
      losses[static_cast<size_t>(r)] =
          log_sum_exp(logits.row(r), logits.cols()) - static_cast<double>(logits(r, target));
    });
    for (const double loss : losses) sum.nll += loss;
  }
  sum.predictions += ids.rows * (length - 1);
}

}  // namespace

Likelihood likelihood(const Model& model, const Windows& windows, const std::function<void(double)>& progress) {
  const int64_t length = windows.length();
  const int64_t hidden = model.config().hidden;
  const int64_t layers = model.config().layers;
  const int64_t group = std::clamp<int64_t>(kActivationBytes / (4 * hidden * length), 1, windows.count());
  const int64_t groups = ceil_div(windows.count(), group);
  const Model::Head head = model.head();
  Likelihood sum;
  for (int64_t g = 0; g < groups; ++g) {
    const auto ids = windows.ids.view().row_range(g * group, std::min(group, windows.count() - g * group));
    Matrix<float> h = model.embed({ids.data, static_cast<size_t>(ids.rows * ids.cols)});
    const int64_t together = std::max<int64_t>(1, kBatchRows / length);
    for (int64_t layer = 0; layer < layers; ++layer) {
      progress((static_cast<double>(g) + static_cast<double>(layer) / static_cast<double>(layers + 1)) /
               static_cast<double>(groups));
      const Block block = model.block(layer);
      model.prefetch(layer + 1);
      for (int64_t first = 0; first < ids.rows; first += together) {
        const Batch batch{.sequences = std::min(together, ids.rows - first), .length = length};
        block.forward(batch, h.view().row_range(first * length, batch.rows()));
      }
    }
    add_losses(head, model, ids, h, sum);
  }
  progress(1.0);
  return sum;
}

}  // namespace hesse
