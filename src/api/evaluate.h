// What evaluate() and evaluate_tasks() share: the models of a call, opened.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/open_model.h"
#include "base/process.h"
#include "hesse/events.h"
#include "hesse/options.h"
#include "model/model.h"

namespace hesse {

// A directory and the model in it.
struct EvaluatedModel {
  OpenModel opened;
  std::unique_ptr<Model> model;

  std::string name() const;  // last part of the path
};

EvaluatedModel open_for_evaluation(const std::string& directory, const EvalOptions& options, int64_t positions);
// options.model and options.others.
std::vector<std::string> model_paths(const EvalOptions& options);
std::vector<EvaluatedModel> open_all(const std::vector<std::string>& paths, const EvalOptions& options,
                                     int64_t positions);
std::vector<const Model*> pointers_to(const std::vector<EvaluatedModel>& models);

// A measuring instrument: "auto" is float32.
ComputeType evaluation_compute(const EvalOptions& options);

// Tells the listener how far it is, and stops when it asks for that.
class EvaluationTicker {
 public:
  explicit EvaluationTicker(Listener& listener) : listener_(listener) {}
  void operator()(double share) const;
  double seconds() const { return watch_.seconds(); }

 private:
  Listener& listener_;
  Stopwatch watch_;
};

}  // namespace hesse
