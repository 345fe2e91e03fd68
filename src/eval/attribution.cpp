#include "eval/attribution.h"

#include <fmt/format.h>

#include <utility>

#include "eval/perplexity.h"
#include "hesse/error.h"
#include "kernels/kernels.h"

namespace hesse {
namespace {

void require_same_shape(const Model& model, const Model& reference) {
  require_same_vocabulary(model.config().vocab, reference.config().vocab);
  const auto shape = [](const Model& m) { return std::pair(m.config().layers, m.config().hidden); };
  if (shape(model) == shape(reference)) return;
  throw Error(
      ErrorKind::kBadInput,
      fmt::format("[attribute] the model has {} layers of width {}, the reference {} of {}; their blocks cannot "
                  "be swapped",
                  shape(model).first, shape(model).second, shape(reference).first, shape(reference).second));
}

// The streams of one group of windows behind the last layer.
struct Streams {
  Matrix<float> reference;
  Matrix<float> model;
  std::vector<Matrix<float>> swapped;  // [layers]
};

// Block by block; `progress` counts what is done in products of a block and a stream.
Streams run_streams(const Model& model, const Model& reference, WindowIds ids, const EvalProgress& progress) {
  const int64_t layers = model.config().layers;
  const std::span<const int32_t> all(ids.data, static_cast<size_t>(ids.rows * ids.cols));
  Streams s;
  s.model = model.embed(all, {.length = ids.cols});
  s.reference = reference.embed(all, {.length = ids.cols});
  const double steps = static_cast<double>(layers * (layers + 5)) / 2 + static_cast<double>(layers + 2);
  double done = 0;
  for (int64_t layer = 0; layer < layers; ++layer) {
    Matrix<float> fresh = s.model.clone();
    {
      const Block original = reference.block(layer);
      run_block(original, ids, s.reference.view());
      run_block(original, ids, fresh.view());
    }
    const Block block = model.block(layer);
    model.prefetch(layer + 1);
    reference.prefetch(layer + 1);
    run_block(block, ids, s.model.view());
    for (Matrix<float>& h : s.swapped) run_block(block, ids, h.view());
    s.swapped.push_back(std::move(fresh));
    done += static_cast<double>(layer + 3);
    progress(done / steps);
  }
  return s;
}

// Sum over the predictions of KL(expected || logits of h).
double kl_sum(const Model::Head& head, const Matrix<float>& h, const Matrix<float>& expected, WindowIds ids,
              int64_t first) {
  const Matrix<float> logits = head.logits(h.view().row_range(first, expected.rows()));
  std::vector<double> kl(static_cast<size_t>(expected.rows()), 0.0);
  for_each_prediction(ids, first, expected.rows(), [&](int64_t r, int32_t, int64_t) {
    kl[static_cast<size_t>(r)] = kl_divergence(expected.row(r), logits.row(r), expected.cols());
  });
  double sum = 0;
  for (const double value : kl) sum += value;
  return sum;
}

}  // namespace

Attribution attribute(const Model& model, const Model& reference, const Windows& windows,
                      const EvalProgress& progress) {
  require_same_shape(model, reference);
  const int64_t layers = model.config().layers;
  const Model::Head head = model.head();
  const Model::Head reference_head = reference.head();
  Attribution sum{.kl = 0, .swapped = std::vector<double>(static_cast<size_t>(layers), 0.0)};
  for_each_group(model, windows, layers + 3, progress, [&](WindowIds ids, int64_t, const EvalProgress& part) {
    const Streams s = run_streams(model, reference, ids, part);
    for_each_piece(s.model.rows(), model.config().vocab, [&](int64_t first, int64_t rows) {
      const Matrix<float> expected = reference_head.logits(s.reference.view().row_range(first, rows));
      sum.kl += kl_sum(head, s.model, expected, ids, first);
      for (size_t layer = 0; layer < s.swapped.size(); ++layer) {
        sum.swapped[layer] += kl_sum(head, s.swapped[layer], expected, ids, first);
      }
    });
  });
  const double predictions = static_cast<double>(windows.count() * (windows.length() - 1));
  sum.kl /= predictions;
  for (double& kl : sum.swapped) kl /= predictions;
  return sum;
}

}  // namespace hesse
