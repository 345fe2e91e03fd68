// One pass of many windows through the layers: in groups whose activations fit the memory, weights read layer by layer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "base/checked.h"
#include "base/matrix.h"
#include "base/threads.h"
#include "data/windows.h"
#include "model/model.h"

namespace hesse {

// Called between layers with the share that is done, 0 ... 1; may throw to stop.
using EvalProgress = std::function<void(double share)>;

using WindowIds = MatrixView<const int32_t>;  // [windows, length]

constexpr int64_t kActivationBytes = int64_t{1} << 30;
constexpr int64_t kLogitBytes = int64_t{64} << 20;  // of one piece of the head's output

// The residual stream behind the last layer, [windows * length, hidden].
Matrix<float> run_layers(const Model& model, WindowIds ids, const EvalProgress& progress);

// The block on all of h [windows * length, hidden], some windows at a time.
void run_block(const Block& block, WindowIds ids, MatrixView<float> h);

// Negative log-likelihood of `target` in nats, and the most likely token (the first among equals).
double loss_of(const Matrix<float>& logits, int64_t row, int64_t target);
int64_t top_of(const Matrix<float>& logits, int64_t row);

// Calls body(ids, first window, progress of this group) for one group of windows after the other, `streams` copies of
// whose activations fit kActivationBytes.
template <class Body>
void for_each_group(const Model& model, const Windows& windows, int64_t streams, const EvalProgress& progress,
                    Body body) {
  const int64_t bytes = streams * 4 * model.config().hidden * windows.length();
  const int64_t group = std::clamp<int64_t>(kActivationBytes / bytes, 1, windows.count());
  const int64_t groups = ceil_div(windows.count(), group);
  for (int64_t g = 0; g < groups; ++g) {
    const auto part = [&, g](double share) {
      progress((static_cast<double>(g) + share) / static_cast<double>(groups));
    };
    body(windows.ids.view().row_range(g * group, std::min(group, windows.count() - g * group)), g * group, part);
  }
  progress(1.0);
}

// Calls body(first, count) for pieces of the rows of a residual stream whose logits fit kLogitBytes.
template <class Body>
void for_each_piece(int64_t rows, int64_t vocab, Body body) {
  const int64_t piece = std::clamp<int64_t>(kLogitBytes / (4 * vocab), 1, kBatchRows);
  for (int64_t first = 0; first < rows; first += piece) body(first, std::min(piece, rows - first));
}

// Calls body(row of the piece, target, index of the prediction in the group) in parallel for every row of
// [first, first + rows) that predicts a token; the last token of a window predicts nothing.
template <class Body>
void for_each_prediction(WindowIds ids, int64_t first, int64_t rows, Body body) {
  parallel_for(rows, [&](int64_t r) {
    const int64_t window = (first + r) / ids.cols, column = (first + r) % ids.cols;
    if (column != ids.cols - 1) body(r, ids(window, column + 1), window * (ids.cols - 1) + column);
  });
}

}  // namespace hesse
