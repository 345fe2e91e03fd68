#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <span>
#include <utility>

#include "api/evaluate.h"
#include "api/problems.h"
#include "base/threads.h"
#include "data/special_tokens.h"
#include "data/task.h"
#include "data/windows.h"
#include "eval/choices.h"
#include "eval/statistics.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "model/compute.h"

namespace hesse {
namespace {

struct Task {
  std::string name;
  std::vector<ChoiceItem> items;
};

// Every choice of every item, as tokens, in their order.
std::vector<ChoiceTokens> tokens_of_choices(const Task& task, const Tokenizer& tokenizer, int32_t bos) {
  std::vector<ChoiceTokens> all;
  for (const ChoiceItem& item : task.items) {
    for (size_t choice = 0; choice < item.choices.size(); ++choice) {
      all.push_back(choice_tokens(item, choice, tokenizer, bos));
    }
  }
  return all;
}

int64_t longest_of(const std::vector<ChoiceTokens>& all) {
  size_t longest = 0;
  for (const ChoiceTokens& tokens : all) longest = std::max(longest, tokens.ids.size());
  return static_cast<int64_t>(longest);
}

void require_known_ids(const std::vector<ChoiceTokens>& all, int64_t vocab) {
  for (const ChoiceTokens& tokens : all) {
    Windows one;
    one.ids = Matrix<int32_t>(1, static_cast<int64_t>(tokens.ids.size()));
    std::copy(tokens.ids.begin(), tokens.ids.end(), one.ids.data());
    require_ids_in_vocabulary(one, vocab);
  }
}

// `losses` of every choice, in the order of tokens_of_choices().
TaskScore score_of(const Task& task, std::span<const double> losses) {
  double right = 0, right_norm = 0;
  std::vector<std::vector<double>> likelihoods;
  size_t at = 0;
  for (const ChoiceItem& item : task.items) {
    std::vector<double> raw(losses.begin() + static_cast<std::ptrdiff_t>(at),
                            losses.begin() + static_cast<std::ptrdiff_t>(at + item.choices.size()));
    std::vector<double> norm = raw;
    std::transform(raw.begin(), raw.end(), std::back_inserter(likelihoods.emplace_back()), std::negate<>());
    for (size_t i = 0; i < norm.size(); ++i) norm[i] /= static_cast<double>(count_characters(item.choices[i]));
    const auto least = [](const std::vector<double>& values) {
      return static_cast<size_t>(std::min_element(values.begin(), values.end()) - values.begin());
    };
    right += least(raw) == item.answer ? 1 : 0;
    right_norm += least(norm) == item.answer ? 1 : 0;
    at += item.choices.size();
  }
  const int64_t count = static_cast<int64_t>(task.items.size());
  return {.name = {},
          .format = {},
          .accuracy = right / static_cast<double>(count),
          .accuracy_interval = share_interval(right, count),
          .accuracy_norm = right_norm / static_cast<double>(count),
          .accuracy_norm_interval = share_interval(right_norm, count),
          .log_likelihoods = std::move(likelihoods)};
}

double chance_of(const Task& task) {
  double sum = 0;
  for (const ChoiceItem& item : task.items) sum += 1 / static_cast<double>(item.choices.size());
  return sum / static_cast<double>(task.items.size());
}

// How far it is, and whom to tell.
struct Telling {
  Listener& listener;
  EvalProgress progress;
};

// One model, with its own tokenizer, on one task.
TaskScore evaluate_task(const Task& task, const std::string& path, const EvalOptions& options, const Telling& telling) {
  const Tokenizer tokenizer = Tokenizer::from_directory(path);
  const int32_t bos = begins_with_bos(options.bos, path, tokenizer) ? require_bos(tokenizer) : -1;
  const std::vector<ChoiceTokens> all = tokens_of_choices(task, tokenizer, bos);
  const int64_t longest = longest_of(all);
  const EvaluatedModel model = open_for_evaluation(path, options, longest);
  require_known_ids(all, model.opened.config.vocab);
  if (longest > model.opened.config.max_positions) {
    telling.listener.on_warning("a question is longer than the positions that the model was made for");
  }
  std::vector<ScoredEnd> ends;
  for (const ChoiceTokens& tokens : all) ends.push_back({tokens.ids, tokens.begin});
  TaskScore score = score_of(task, end_losses(*model.model, ends, telling.progress));
  score.name = model.name();
  score.format = model.opened.format_name();
  return score;
}

}  // namespace

TasksResult evaluate_tasks(const EvalOptions& options, Listener& listener) {
  require_no_problems(options);
  if (options.task.empty()) throw Error(ErrorKind::kUsage, "[options] task is missing; texts are for evaluate()");
  set_threads(options.threads);
  const EvaluationTicker ticker(listener);
  std::vector<Task> tasks;
  for (const std::string& file : options.task) {
    tasks.push_back({std::filesystem::path(file).filename().string(), read_task(file, options.items)});
  }
  const std::vector<std::string> paths = model_paths(options);
  const double passes = static_cast<double>(tasks.size() * paths.size());
  double done = 0;
  TasksResult result;
  for (const Task& task : tasks) {
    TaskResult scored{
        .name = task.name, .items = static_cast<int64_t>(task.items.size()), .chance = chance_of(task), .models = {}};
    for (const std::string& path : paths) {
      const auto part = [&](double share) { ticker((done + share) / passes); };
      scored.models.push_back(evaluate_task(task, path, options, {listener, part}));
      ++done;
    }
    result.tasks.push_back(std::move(scored));
  }
  const Tokenizer tokenizer = Tokenizer::from_directory(options.model);
  result.bos = begins_with_bos(options.bos, options.model, tokenizer);
  result.compute = compute_name(evaluation_compute(options));
  result.seconds = ticker.seconds();
  return result;
}

}  // namespace hesse
