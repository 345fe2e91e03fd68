#include "eval/pass.h"

#include "kernels/kernels.h"

namespace hesse {

void run_block(const Block& block, WindowIds ids, MatrixView<float> h) {
  const int64_t together = std::max<int64_t>(1, kBatchRows / ids.cols);
  for (int64_t first = 0; first < ids.rows; first += together) {
    const Batch batch{.sequences = std::min(together, ids.rows - first), .length = ids.cols};
    block.forward(batch, h.row_range(first * ids.cols, batch.rows()));
  }
}

Matrix<float> run_layers(const Model& model, WindowIds ids, const EvalProgress& progress) {
  const int64_t layers = model.config().layers;
  Matrix<float> h = model.embed({ids.data, static_cast<size_t>(ids.rows * ids.cols)}, {.length = ids.cols});
  for (int64_t layer = 0; layer < layers; ++layer) {
    progress(static_cast<double>(layer) / static_cast<double>(layers + 1));
    const Block block = model.block(layer);
    model.prefetch(layer + 1);
    run_block(block, ids, h.view());
  }
  return h;
}

double loss_of(const Matrix<float>& logits, int64_t row, int64_t target) {
  return log_sum_exp(logits.row(row), logits.cols()) - static_cast<double>(logits(row, target));
}

int64_t top_of(const Matrix<float>& logits, int64_t row) {
  return std::max_element(logits.row(row), logits.row(row) + logits.cols()) - logits.row(row);
}

}  // namespace hesse
