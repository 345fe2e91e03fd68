#include "api/evaluate.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <optional>

#include "api/prepare.h"
#include "api/problems.h"
#include "api/reference_file.h"
#include "base/divergence.h"
#include "base/threads.h"
#include "data/statistics.h"
#include "data/windows.h"
#include "eval/attribution.h"
#include "eval/perplexity.h"
#include "eval/summary.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/file.h"
#include "model/compute.h"
#include "plan/work.h"
#include "report/report.h"

namespace hesse {
namespace {

constexpr int64_t kGptqWindow = 2048;  // of the papers, from GPTQ on
constexpr int64_t kAttributionWindows = 4;

std::string last_part(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

bool is_saved_reference(const std::string& against) {
  std::error_code unknown;
  return std::filesystem::is_regular_file(against, unknown);
}

EvalOptions with_protocol(EvalOptions options) {
  if (options.like_gptq) {
    options.window = kGptqWindow;
    options.bos = "never";
  }
  if (options.attribute && options.windows == 0) options.windows = kAttributionWindows;
  return options;
}

Windows windows_for(const EvalOptions& options, const std::string& model) {
  return evaluation_windows({options.text.begin(), options.text.end()}, model,
                            {.length = options.window, .count = options.windows, .bos = options.bos});
}

// Whether the tokenizer of `path` makes the same windows; also true when there is none that says otherwise.
bool makes_same_windows(const std::string& path, const EvalOptions& options, const Windows& windows) {
  const std::string sha256 = tokenizer_sha256(path);
  if (sha256.empty() || sha256 == tokenizer_sha256(options.model)) return true;
  try {
    const Windows own = windows_for(options, path);
    const int32_t* end = windows.ids.data() + windows.ids.size();
    return own.ids.size() == windows.ids.size() && std::equal(windows.ids.data(), end, own.ids.data());
  } catch (const Error&) {
    return false;  // it cannot read the text, or has no BOS
  }
}

// Losses a token of two tokenizers do not compare; ids of one mean nothing to a model of the other.
void warn_of_other_tokens(const std::vector<std::string>& paths, const EvalOptions& options, const Windows& windows,
                          Listener& listener) {
  for (const std::string& path : paths) {
    if (makes_same_windows(path, options, windows)) continue;
    listener.on_warning("the tokenizer of " + last_part(path) + " makes other tokens of this text than that of " +
                        last_part(options.model) + ", whose tokens are taken: its numbers mean little");
  }
}

// One evaluation: the models, what they are compared with, and what comes out.
class Evaluation {
 public:
  Evaluation(const EvalOptions& options, Listener& listener)
      : options_(options), ticker_(listener), windows_(windows_for(options, options.model)) {
    for (const std::string& note : windows_.notes) listener.on_warning(note);
    models_ = open_all(model_paths(options), options, windows_.length());
    require_ids_in_vocabulary(windows_, models_[0].opened.config.vocab);
    if (windows_.length() > models_[0].opened.config.max_positions) {
      listener.on_warning("the windows are longer than the positions that the model was made for");
    }
    open_reference();
    std::vector<std::string> compared = options.others;
    if (reference_model_) compared.push_back(options.against);
    warn_of_other_tokens(compared, options, windows_, listener);
  }

  EvalResult run() {
    std::vector<EvalResult> results = first_is_reference() ? run_against_first() : run_all();
    for (size_t i = 0; i < results.size(); ++i) describe(models_[i], results[i]);
    EvalResult result = std::move(results[0]);
    results.erase(results.begin());
    result.others = std::move(results);
    if (options_.attribute) add_blocks(result);
    result.flops = flops();
    result.seconds = ticker_.seconds();
    return result;
  }

 private:
  bool first_is_reference() const { return options_.against.empty() && models_.size() > 1; }

  void open_reference() {
    if (options_.against.empty()) return;
    if (!is_saved_reference(options_.against)) {
      reference_model_ = open_for_evaluation(options_.against, options_, windows_.length());
      reference_ = std::make_unique<ModelReference>(*reference_model_->model);
      reference_name_ = reference_model_->name();
      return;
    }
    if (options_.attribute) {
      throw Error(ErrorKind::kUsage,
                  "[attribute] blocks are taken from a model; --against is a file of --save-reference");
    }
    auto saved = std::make_unique<SavedReference>(options_.against);
    saved->require(windows_, tokenizer_sha256(options_.model));
    reference_name_ = saved->model();
    reference_ = std::move(saved);
  }

  // Time of all in units of that of the predictions, which are two passes; attribution comes behind them.
  double cost() const {
    return options_.attribute ? 1 + static_cast<double>(models_[0].opened.config.layers + 7) / 4 : 1;
  }
  EvalProgress progress() const {
    return [this](double share) { ticker_(share / cost()); };
  }

  std::vector<EvalResult> run_all() {
    PredictWith with{.reference = reference_.get(), .keep = {}};
    std::optional<ReferenceWriter> writer;
    if (!options_.save_reference.empty()) {
      writer.emplace(options_.save_reference, *models_[0].model, windows_,
                     ReferenceWriter::About{models_[0].name(), tokenizer_sha256(options_.model)});
      with.keep = [&](ConstComputeView x) { writer->add(x); };
    }
    std::vector<EvalResult> results;
    for (const Predictions& p : predict(pointers_to(models_), with, windows_, progress())) {
      results.push_back(summarize(p, windows_));
    }
    if (writer) writer->finish();
    return results;
  }

  std::vector<EvalResult> run_against_first() {
    ModelReference first(*models_[0].model);
    reference_name_ = models_[0].name();
    std::vector<const Model*> others = pointers_to(models_);
    others.erase(others.begin());
    const auto all = predict(others, {.reference = &first, .keep = {}}, windows_, progress());
    std::vector<EvalResult> results = {summarize(of_reference(all[0]), windows_)};
    for (const Predictions& p : all) results.push_back(summarize(p, windows_));
    return results;
  }

  // From the text that the model was calibrated on; -1 where its record does not tell.
  double distance_from_calibration(const std::filesystem::path& directory) const {
    const std::filesystem::path path = directory / kRecordFile;
    if (!std::filesystem::is_regular_file(path)) return -1;
    try {
      const RunRecord record = record_from_json(read_text_file(path), path.string());
      if (!record.calibration) return -1;
      return jensen_shannon(token_buckets(windows_, 0, windows_.count()), record.calibration->token_buckets);
    } catch (const Error&) {
      return -1;  // of another version, or damaged: that is for `hesse diagnose` to say
    }
  }

  void describe(const EvaluatedModel& model, EvalResult& result) const {
    result.calibration_distance = distance_from_calibration(model.opened.directory);
    result.name = model.name();
    result.format = model.opened.format_name();
    result.compute = compute_name(evaluation_compute(options_));
    if (result.against) result.against->name = reference_name_;
  }

  void add_blocks(EvalResult& result) const {
    const auto progress = [this](double share) { ticker_((1 + share * (cost() - 1)) / cost()); };
    const Attribution found = attribute(*models_[0].model, *reference_model_->model, windows_, progress);
    for (size_t layer = 0; layer < found.swapped.size(); ++layer) {
      const double kl = found.swapped[layer];
      result.blocks.push_back({static_cast<int64_t>(layer), kl, found.kl > 0 ? 1 - kl / found.kl : 0.0});
    }
  }

  double flops() const {
    double sum = 0;
    const auto add = [&](const EvaluatedModel& model) {
      sum += evaluation_work(model.opened.config, windows_.count(), windows_.length()).total();
    };
    std::for_each(models_.begin(), models_.end(), add);
    if (reference_model_) add(*reference_model_);
    return sum;
  }

  const EvalOptions options_;
  EvaluationTicker ticker_;
  Windows windows_;
  std::vector<EvaluatedModel> models_;
  std::optional<EvaluatedModel> reference_model_;
  std::unique_ptr<Reference> reference_;
  std::string reference_name_;
};

}  // namespace

std::string EvaluatedModel::name() const { return last_part(opened.directory.string()); }

EvaluatedModel open_for_evaluation(const std::string& directory, const EvalOptions& options, int64_t positions) {
  EvaluatedModel model{open_model(directory, options.as), nullptr};
  model.model =
      std::make_unique<Model>(model.opened.config, *model.opened.source, positions, evaluation_compute(options));
  return model;
}

std::vector<std::string> model_paths(const EvalOptions& options) {
  std::vector<std::string> paths = {options.model};
  paths.insert(paths.end(), options.others.begin(), options.others.end());
  return paths;
}

std::vector<EvaluatedModel> open_all(const std::vector<std::string>& paths, const EvalOptions& options,
                                     int64_t positions) {
  std::vector<EvaluatedModel> models;
  for (const std::string& path : paths) models.push_back(open_for_evaluation(path, options, positions));
  return models;
}

std::vector<const Model*> pointers_to(const std::vector<EvaluatedModel>& models) {
  std::vector<const Model*> all;
  for (const EvaluatedModel& model : models) all.push_back(model.model.get());
  return all;
}

ComputeType evaluation_compute(const EvalOptions& options) {
  return options.compute == "bf16" ? ComputeType::kBF16 : ComputeType::kF32;
}

void EvaluationTicker::operator()(double share) const {
  if (listener_.stop_requested()) throw Error(ErrorKind::kInterrupted, "[eval] stopped on request");
  const double seconds = watch_.seconds();
  listener_.on_progress(
      {.what = "evaluating", .share = share, .seconds_left = share > 0 ? seconds / share - seconds : -1});
}

EvalResult evaluate(const EvalOptions& options, Listener& listener) {
  require_no_problems(options);
  if (options.text.empty()) {
    throw Error(ErrorKind::kUsage, "[options] text is missing; tasks are for evaluate_tasks()");
  }
  set_threads(options.threads);
  return Evaluation(with_protocol(options), listener).run();
}

}  // namespace hesse
