#include "eval/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "kernels/kernels.h"

namespace hesse {
namespace {

constexpr int64_t kLogitBytes = int64_t{64} << 20;  // of one piece of the head's output

using Ids = MatrixView<const int32_t>;  // [windows, length]

// Windows that are carried through the layers together.
int64_t group_size(const Model& model, const Windows& windows) {
  return std::clamp<int64_t>(kActivationBytes / (4 * model.config().hidden * windows.length()), 1, windows.count());
}

// The residual stream behind the last layer, [windows * length, hidden].
Matrix<float> run_layers(const Model& model, Ids ids, const EvalProgress& progress) {
  const int64_t layers = model.config().layers;
  const int64_t together = std::max<int64_t>(1, kBatchRows / ids.cols);
  Matrix<float> h = model.embed({ids.data, static_cast<size_t>(ids.rows * ids.cols)}, {.length = ids.cols});
  for (int64_t layer = 0; layer < layers; ++layer) {
    progress(static_cast<double>(layer) / static_cast<double>(layers + 1));
    const Block block = model.block(layer);
    model.prefetch(layer + 1);
    for (int64_t first = 0; first < ids.rows; first += together) {
      const Batch batch{.sequences = std::min(together, ids.rows - first), .length = ids.cols};
      block.forward(batch, h.view().row_range(first * ids.cols, batch.rows()));
    }
  }
  return h;
}

// Calls body(row, target) in parallel for every row of [first, first + rows) that predicts a token; the last token of a
// window predicts nothing.
template <class Body>
void for_each_prediction(Ids ids, int64_t first, int64_t rows, Body body) {
  parallel_for(rows, [&](int64_t r) {
    const int64_t row = first + r;
    if (row % ids.cols != ids.cols - 1) body(r, ids(row / ids.cols, row % ids.cols + 1));
  });
}

// Cuts the rows of a residual stream into pieces whose logits fit kLogitBytes.
template <class Body>
void for_each_piece(int64_t rows, int64_t vocab, Body body) {
  const int64_t piece = std::clamp<int64_t>(kLogitBytes / (4 * vocab), 1, kBatchRows);
  for (int64_t first = 0; first < rows; first += piece) body(first, std::min(piece, rows - first));
}

double loss_of(const Matrix<float>& logits, int64_t row, int32_t target) {
  return log_sum_exp(logits.row(row), logits.cols()) - static_cast<double>(logits(row, target));
}

int64_t top_of(const Matrix<float>& logits, int64_t row) {
  return std::max_element(logits.row(row), logits.row(row) + logits.cols()) - logits.row(row);
}

void add_losses(const Model::Head& head, Ids ids, const Matrix<float>& h, int64_t vocab, Likelihood& sum) {
  for_each_piece(h.rows(), vocab, [&](int64_t first, int64_t rows) {
    const Matrix<float> logits = head.logits(h.view().row_range(first, rows));
    std::vector<double> losses(static_cast<size_t>(rows), 0.0);
    for_each_prediction(ids, first, rows, [&](int64_t r, int32_t target) {
      losses[static_cast<size_t>(r)] = loss_of(logits, r, target);
    });
    for (const double loss : losses) sum.nll += loss;
  });
  sum.predictions += ids.rows * (ids.cols - 1);
}

// What one prediction adds to a Comparison.
struct Term {
  double model = 0, reference = 0, kl = 0;
  bool same_top = false;
};

void add_terms(const Model::Head& head, const Matrix<float>& h, const Model::Head& reference_head,
               const Matrix<float>& reference_h, Ids ids, int64_t vocab, Comparison& sum) {
  for_each_piece(h.rows(), vocab, [&](int64_t first, int64_t rows) {
    const Matrix<float> logits = head.logits(h.view().row_range(first, rows));
    const Matrix<float> expected = reference_head.logits(reference_h.view().row_range(first, rows));
    std::vector<Term> terms(static_cast<size_t>(rows));
    for_each_prediction(ids, first, rows, [&](int64_t r, int32_t target) {
      terms[static_cast<size_t>(r)] = {loss_of(logits, r, target), loss_of(expected, r, target),
                                       kl_divergence(expected.row(r), logits.row(r), vocab),
                                       top_of(logits, r) == top_of(expected, r)};
    });
    for (const Term& term : terms) {
      sum.model.nll += term.model;
      sum.reference.nll += term.reference;
      sum.kl += term.kl;
      sum.same_top += term.same_top ? 1 : 0;
    }
  });
  sum.model.predictions += ids.rows * (ids.cols - 1);
  sum.reference.predictions = sum.model.predictions;
}

// Calls body(ids, progress of this group) for one group of windows after the other.
template <class Body>
void for_each_group(const Model& model, const Windows& windows, const EvalProgress& progress, Body body) {
  const int64_t group = group_size(model, windows);
  const int64_t groups = ceil_div(windows.count(), group);
  for (int64_t g = 0; g < groups; ++g) {
    const auto part = [&, g](double share) {
      progress((static_cast<double>(g) + share) / static_cast<double>(groups));
    };
    body(windows.ids.view().row_range(g * group, std::min(group, windows.count() - g * group)), part);
  }
  progress(1.0);
}

}  // namespace

Likelihood likelihood(const Model& model, const Windows& windows, const EvalProgress& progress) {
  const Model::Head head = model.head();
  Likelihood sum;
  for_each_group(model, windows, progress, [&](Ids ids, const EvalProgress& part) {
    const Matrix<float> h = run_layers(model, ids, part);
    add_losses(head, ids, h, model.config().vocab, sum);
  });
  return sum;
}

Comparison compare_models(const Model& model, const Model& reference, const Windows& windows,
                          const EvalProgress& progress) {
  const int64_t vocab = model.config().vocab;
  if (reference.config().vocab != vocab) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[against] the model has {} token ids, the reference {}; they cannot be "
                            "compared",
                            vocab, reference.config().vocab));
  }
  const Model::Head head = model.head();
  const Model::Head reference_head = reference.head();
  Comparison sum;
  for_each_group(model, windows, progress, [&](Ids ids, const EvalProgress& part) {
    const Matrix<float> h = run_layers(model, ids, [&](double share) { part(share / 2); });
    const Matrix<float> expected = run_layers(reference, ids, [&](double share) { part(0.5 + share / 2); });
    add_terms(head, h, reference_head, expected, ids, vocab, sum);
  });
  return sum;
}

}  // namespace hesse
