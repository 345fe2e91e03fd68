#include "eval/perplexity.h"

#include <fmt/format.h>

#include "eval/statistics.h"
#include "hesse/error.h"
#include "kernels/kernels.h"

namespace hesse {
namespace {

Predictions room_for(const Windows& windows, bool reference) {
  Predictions p{.windows = windows.count(), .per_window = windows.length() - 1};
  const size_t count = static_cast<size_t>(p.count());
  p.loss.assign(count, 0);
  if (!reference) return p;
  for (std::vector<double>* values : {&p.reference_loss, &p.kl, &p.same_top}) values->assign(count, 0);
  return p;
}

// A model on one group of windows.
struct Group {
  WindowIds ids;
  int64_t first_window = 0;
  const Matrix<float>& h;  // its residual stream behind the last layer
};

void add_group(const Model::Head& head, const Group& group, const PredictWith& with, Predictions& out) {
  const size_t before = static_cast<size_t>(group.first_window * out.per_window);
  const int64_t vocab = head.linear().weight.rows();
  for_each_piece(group.h.rows(), vocab, [&](int64_t first, int64_t rows) {
    const ComputeMatrix x = head.input(group.h.view().row_range(first, rows));
    if (with.keep) with.keep(x.view());
    const Matrix<float> logits = head.logits_of_input(x.view());
    const Matrix<float> expected = with.reference != nullptr ? with.reference->logits(first, rows) : Matrix<float>();
    for_each_prediction(group.ids, first, rows, [&](int64_t r, int32_t target, int64_t index) {
      const size_t i = before + static_cast<size_t>(index);
      out.loss[i] = loss_of(logits, r, target);
      if (with.reference == nullptr) return;
      out.reference_loss[i] = loss_of(expected, r, target);
      out.kl[i] = kl_divergence(expected.row(r), logits.row(r), vocab);
      out.same_top[i] = top_of(logits, r) == top_of(expected, r) ? 1 : 0;
    });
  });
}

}  // namespace

std::vector<double> window_means(const Predictions& predictions, const std::vector<double>& values) {
  std::vector<double> means;
  const size_t length = static_cast<size_t>(predictions.per_window);
  for (size_t first = 0; first < values.size(); first += length) {
    means.push_back(mean_of(std::span(values).subspan(first, length)));
  }
  return means;
}

void ModelReference::begin(WindowIds ids, int64_t, const EvalProgress& progress) {
  if (!head_) head_.emplace(model_.head());
  h_ = Matrix<float>();
  h_ = run_layers(model_, ids, progress);
}

Matrix<float> ModelReference::logits(int64_t first, int64_t rows) const {
  return head_->logits(h_.view().row_range(first, rows));
}

void require_same_vocabulary(int64_t vocab, int64_t reference) {
  if (vocab == reference) return;
  throw Error(
      ErrorKind::kBadInput,
      fmt::format("[against] the model has {} token ids, the reference {}; they cannot be compared", vocab, reference));
}

std::vector<Predictions> predict(std::span<const Model* const> models, const PredictWith& with, const Windows& windows,
                                 const EvalProgress& progress) {
  std::vector<Predictions> all;
  std::vector<Model::Head> heads;
  for (const Model* model : models) {
    require_same_vocabulary(model->config().vocab,
                            with.reference != nullptr ? with.reference->vocab() : models.front()->config().vocab);
    heads.push_back(model->head());
    all.push_back(room_for(windows, with.reference != nullptr));
  }
  const bool runs_reference = with.reference != nullptr && with.reference->computes();
  const double passes = static_cast<double>(models.size() + (runs_reference ? 1 : 0));
  for_each_group(*models.front(), windows, 2, progress,
                 [&](WindowIds ids, int64_t first_window, const EvalProgress& part) {
                   double done = 0;
                   const auto pass = [&](double share) { part((done + share) / passes); };
                   if (with.reference != nullptr) with.reference->begin(ids, first_window, pass);
                   if (runs_reference) ++done;
                   for (size_t i = 0; i < models.size(); ++i, ++done) {
                     const Matrix<float> h = run_layers(*models[i], ids, pass);
                     const PredictWith what{.reference = with.reference, .keep = i == 0 ? with.keep : HeadInputTaker()};
                     add_group(heads[i], {ids, first_window, h}, what, all[i]);
                   }
                 });
  return all;
}

}  // namespace hesse
