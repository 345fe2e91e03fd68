// Results of `hesse eval` and `hesse compare` as JSON.
#include "io/json.h"
#include "report/report.h"
#include "report/utf8.h"

namespace hesse {
namespace {

Json text(std::string_view value) { return Json(valid_utf8(value)); }

Json interval_json(const Interval& interval) { return Json::Array{interval.low, interval.high}; }
Json interval_json(const std::optional<Interval>& interval) { return interval ? interval_json(*interval) : Json(); }

Json measured(double value) { return value < 0 ? Json() : Json(value); }

Json against_json(const AgainstResult& against) {
  return Json::Object{{"perplexity", against.perplexity},
                      {"kl", against.kl},
                      {"top1_agreement", against.top1_agreement},
                      {"name", text(against.name)},
                      {"perplexity_ratio", against.perplexity_ratio},
                      {"kl_median", against.kl_median},
                      {"kl_p99", against.kl_p99},
                      {"ratio_interval", interval_json(against.ratio_interval)},
                      {"kl_interval", interval_json(against.kl_interval)},
                      {"agreement_interval", interval_json(against.agreement_interval)}};
}

Json positions_json(const std::vector<PositionLoss>& positions) {
  Json all = Json::array();
  for (const PositionLoss& range : positions) {
    all.push_back(
        Json::Object{{"first", range.first}, {"last", range.last}, {"nll", range.nll}, {"kl", measured(range.kl)}});
  }
  return all;
}

Json blocks_json(const std::vector<BlockEffect>& blocks) {
  Json all = Json::array();
  for (const BlockEffect& block : blocks) {
    all.push_back(Json::Object{{"layer", block.layer}, {"kl", block.kl}, {"share", block.share}});
  }
  return all;
}

Json eval_json(const EvalResult& result) {
  Json root = Json::Object{{"schema", "hesse-eval/1"},
                           {"perplexity", result.perplexity},
                           {"mean_nll", result.mean_nll},
                           {"windows", result.windows},
                           {"window", result.window},
                           {"predictions", result.predictions},
                           {"seconds", result.seconds},
                           {"flops", result.flops},
                           {"format", text(result.format)},
                           {"compute", text(result.compute)},
                           {"name", text(result.name)},
                           {"bos", result.bos},
                           {"interval", interval_json(result.interval)},
                           {"median_nll", result.median_nll},
                           {"trimmed_nll", result.trimmed_nll},
                           {"bits_per_byte", measured(result.bits_per_byte)},
                           {"positions", positions_json(result.positions)},
                           {"calibration_distance", measured(result.calibration_distance)}};
  if (result.against) root.set("against", against_json(*result.against));
  if (!result.blocks.empty()) root.set("blocks", blocks_json(result.blocks));
  if (result.others.empty()) return root;
  Json others = Json::array();
  for (const EvalResult& other : result.others) others.push_back(eval_json(other));
  root.set("others", std::move(others));
  return root;
}

Json answer_json(const ComparedAnswer& answer) {
  Json ids = Json::array();
  for (const int32_t id : answer.ids) ids.push_back(int64_t{id});
  const auto place = [](int64_t at) { return at < 0 ? Json() : Json(at); };
  return Json::Object{{"text", text(answer.text)},
                      {"ids", std::move(ids)},
                      {"stop", text(answer.stop)},
                      {"parts_at_token", place(answer.parts_at_token)},
                      {"parts_at_byte", place(answer.parts_at_byte)}};
}

Json score_json(const TaskScore& score) {
  Json likelihoods = Json::array();
  for (const std::vector<double>& item : score.log_likelihoods) {
    Json choices = Json::array();
    for (const double value : item) choices.push_back(value);
    likelihoods.push_back(std::move(choices));
  }
  return Json::Object{{"name", text(score.name)},
                      {"format", text(score.format)},
                      {"acc", score.accuracy},
                      {"acc_interval", interval_json(score.accuracy_interval)},
                      {"acc_norm", score.accuracy_norm},
                      {"acc_norm_interval", interval_json(score.accuracy_norm_interval)},
                      {"log_likelihoods", std::move(likelihoods)}};
}

}  // namespace

std::string to_json(const EvalResult& result) { return eval_json(result).dump(2); }

std::string to_json(const TasksResult& result) {
  Json tasks = Json::array();
  for (const TaskResult& task : result.tasks) {
    Json models = Json::array();
    for (const TaskScore& score : task.models) models.push_back(score_json(score));
    tasks.push_back(Json::Object{
        {"name", text(task.name)}, {"items", task.items}, {"chance", task.chance}, {"models", std::move(models)}});
  }
  return Json(Json::Object{{"schema", "hesse-tasks/1"},
                           {"tasks", std::move(tasks)},
                           {"compute", text(result.compute)},
                           {"bos", result.bos},
                           {"seconds", result.seconds}})
      .dump(2);
}

std::string to_json(const CompareResult& result) {
  Json models = Json::array(), prompts = Json::array();
  for (const std::string& model : result.models) models.push_back(text(model));
  for (const ComparedPrompt& prompt : result.prompts) {
    Json answers = Json::array();
    for (const ComparedAnswer& answer : prompt.answers) answers.push_back(answer_json(answer));
    prompts.push_back(Json::Object{{"prompt", text(prompt.prompt)}, {"answers", std::move(answers)}});
  }
  return Json(Json::Object{{"schema", "hesse-compare/1"},
                           {"models", std::move(models)},
                           {"prompts", std::move(prompts)},
                           {"seed", Json::parse(std::to_string(result.seed), "seed")},
                           {"seconds", result.seconds}})
      .dump(2);
}

}  // namespace hesse
