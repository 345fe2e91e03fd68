// How well models predict windows of tokens, and how far they have moved from a reference.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "data/windows.h"
#include "eval/pass.h"
#include "model/model.h"

namespace hesse {

// One number for every token of a window but the first, window after window.
struct Predictions {
  int64_t windows = 0;
  int64_t per_window = 0;
  std::vector<double> loss = {};  // -log p(token | those before it in its window), nats
  // Against a reference; empty without one.
  std::vector<double> reference_loss = {};
  std::vector<double> kl = {};        // KL(reference || model), nats
  std::vector<double> same_top = {};  // 1 where the most likely token is the same, else 0

  int64_t count() const { return windows * per_window; }
};

// The mean of each window of `values`, one of the vectors above.
std::vector<double> window_means(const Predictions& predictions, const std::vector<double>& values);

// What models are compared with: logits of a group of windows at a time.
class Reference {
 public:
  virtual ~Reference() = default;
  virtual int64_t vocab() const = 0;
  virtual bool computes() const = 0;  // false: it only reads
  // From now on logits() are of the windows `ids`, the first of which has the number `first_window`.
  virtual void begin(WindowIds ids, int64_t first_window, const EvalProgress& progress) = 0;
  virtual Matrix<float> logits(int64_t first, int64_t rows) const = 0;  // [rows, vocab], counted in tokens of the group
};

class ModelReference : public Reference {
 public:
  explicit ModelReference(const Model& model) : model_(model) {}
  int64_t vocab() const override { return model_.config().vocab; }
  bool computes() const override { return true; }
  void begin(WindowIds ids, int64_t first_window, const EvalProgress& progress) override;
  Matrix<float> logits(int64_t first, int64_t rows) const override;

 private:
  const Model& model_;
  std::optional<Model::Head> head_;
  Matrix<float> h_;
};

// Takes what the head of a model multiplies, in the order of the tokens.
using HeadInputTaker = std::function<void(ConstComputeView x)>;

struct PredictWith {
  Reference* reference = nullptr;  // none
  HeadInputTaker keep = {};        // of the first model; none
};

// Every model on the same windows; weights are read once for each group of windows whose activations fit
// kActivationBytes. Models and reference must have the same vocabulary: Error(kBadInput) otherwise.
std::vector<Predictions> predict(std::span<const Model* const> models, const PredictWith& with, const Windows& windows,
                                 const EvalProgress& progress);

// Error(kBadInput) when the vocabularies are of different sizes.
void require_same_vocabulary(int64_t vocab, int64_t reference);

}  // namespace hesse
