// The record of a run: what it counts, and hesse-run.json.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "io/json.h"
#include "report/cost.h"
#include "report/facts.h"
#include "report/report.h"

namespace hesse {

std::string_view status_name(LinearStatus status) {
  switch (status) {
    case LinearStatus::kOk:
      return "ok";
    case LinearStatus::kDampingRaised:
      return "damping-raised";
    case LinearStatus::kEigenvalueFloor:
      return "eigenvalue-floor";
    case LinearStatus::kRoundingBetter:
      return "rounding-better";
    case LinearStatus::kUnreached:
      return "unreached";
    case LinearStatus::kFallback:
      return "fallback";
    case LinearStatus::kSkipped:
      return "skipped";
  }
  return "unknown";
}

int64_t RunRecord::fallbacks() const {
  return std::count_if(linears.begin(), linears.end(),
                       [](const LinearRecord& linear) { return linear.status >= LinearStatus::kRoundingBetter; });
}

std::vector<const LinearRecord*> worst_linears(const RunRecord& record, size_t most) {
  std::vector<const LinearRecord*> linears;
  for (const LinearRecord& linear : record.linears) {
    if (linear.relative_error >= 0 || linear.status != LinearStatus::kOk) linears.push_back(&linear);
  }
  const size_t count = std::min(most, linears.size());
  std::partial_sort(linears.begin(), linears.begin() + static_cast<std::ptrdiff_t>(count), linears.end(),
                    [](const LinearRecord* a, const LinearRecord* b) {
                      if (a->status != b->status) return a->status > b->status;
                      if (a->relative_error != b->relative_error) return a->relative_error > b->relative_error;
                      return a->name < b->name;
                    });
  linears.resize(count);
  return linears;
}

void keep_worst_weight_errors(RunRecord& record) {
  constexpr size_t kKept = 6;
  std::set<std::string_view> kept;
  for (const LinearRecord* linear : worst_linears(record, record.linears.size())) {
    if (kept.size() < kKept && !linear->weight_errors.empty()) kept.insert(linear->name);
  }
  for (LinearRecord& linear : record.linears) {
    if (kept.count(linear.name) == 0) linear.weight_errors.clear();
  }
}

double mean_relative_error(const RunRecord& record) {
  double sum = 0;
  int64_t count = 0;
  for (const LinearRecord& linear : record.linears) {
    if (!(linear.relative_error >= 0)) continue;
    sum += linear.relative_error;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : -1;
}

namespace {

// The record travels with the checkpoint: whose folders the run used is nobody's business.
std::string last_part(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  const std::filesystem::path last = normal.has_filename() ? normal.filename() : normal.parent_path().filename();
  return last.string();
}

// Receives the fields of QuantizeOptions from their visitor, so that the echo cannot drift from the flags.
class OptionEcho {
 public:
  Json take() { return std::move(object_); }

  template <class T>
  void operator()(std::string_view flag, const T& field, std::string_view /*help*/) {
    std::string name(flag);
    std::replace(name.begin(), name.end(), '-', '_');
    object_.set(name, value(field, name == "output" || name == "recipe" || name == "measurement"));
  }

 private:
  static Json value(bool field, bool) { return field; }
  static Json value(int field, bool) { return field; }
  static Json value(int64_t field, bool) { return field; }
  static Json value(uint64_t field, bool) { return Json::parse(std::to_string(field), "seed"); }
  static Json value(double field, bool) { return field; }
  static Json value(const std::string& field, bool is_path) { return text(is_path ? last_part(field) : field); }
  static Json value(const std::vector<std::string>& paths, bool) {
    Json list = Json::array();
    for (const std::string& path : paths) list.push_back(text(last_part(path)));
    return list;
  }

  Json object_ = Json::object();
};

Json options_json(const QuantizeOptions& options) {
  OptionEcho echo;
  visit_options(options, echo);
  return echo.take();
}

Json machine_json(const RunRecord& record) {
  return Json::Object{{"processor", text(record.processor)}, {"simd", text(record.simd)},
                      {"libraries", text(record.libraries)}, {"threads", record.threads},
                      {"compute", text(record.compute)},     {"compute_reason", text(record.compute_reason)}};
}

// Without ids and text, which stay.
Json digest_json(const CalibrationFacts& facts) {
  return Json::Object{{"duplicate_sequences", facts.duplicate_sequences},
                      {"repeated", facts.repeated},
                      {"padding", facts.padding},
                      {"unknown", facts.unknown},
                      {"distinct_tokens", facts.distinct_tokens},
                      {"vocabulary_share", facts.vocabulary_share},
                      {"scripts", list_of(facts.scripts, script_json)},
                      {"token_buckets", list(facts.token_buckets)},
                      {"token_halves", measured(facts.token_halves)}};
}

Json calibration_json(const RunRecord& record) {
  return Json::Object{{"sequences", record.calibration_sequences},
                      {"tokens", record.calibration_tokens},
                      {"sources", list_of(record.calibration_sources, source_json)},
                      {"digest", record.calibration ? digest_json(*record.calibration) : Json()}};
}

Json tokenizer_trial_json(const std::optional<TrialFacts>& trial) {
  if (!trial) return {};
  return Json::Object{{"text", text(trial->text)},
                      {"predictions", trial->predictions},
                      {"nll", trial->nll},
                      {"nll_with_bos", measured(trial->nll_bos)},
                      {"uniform_nll", trial->uniform}};
}

Json inputs_json(const RunRecord& record) {
  Json files = Json::array();
  for (const InputFile& file : record.inputs) {
    files.push_back(
        Json::Object{{"name", text(last_part(file.name))}, {"bytes", file.bytes}, {"sha256", text(file.sha256)}});
  }
  return files;
}

// How many linears have each trouble; those that none has are left out.
Json troubles_json(const RunRecord& record) {
  std::map<Trouble, int64_t> counts;
  for (const LinearRecord& linear : record.linears) {
    for (const Trouble trouble : troubles_of(linear)) ++counts[trouble];
  }
  Json object = Json::object();
  for (const auto& [trouble, count] : counts) object.set(std::string(trouble_name(trouble)), count);
  return object;
}

Json damage_json(const PredictedDamage& damage) {
  Json linears = Json::array();
  for (const std::string& linear : damage.linears) linears.push_back(text(linear));
  return Json::Object{{"linears", std::move(linears)},
                      {"bits", damage.bits},
                      {"kl", measured(damage.kl)},
                      {"bits_per_weight_at_8", damage.bits_at_8}};
}

Json result_json(const RunRecord& record) {
  return Json::Object{{"linears", static_cast<int64_t>(record.linears.size())},
                      {"fallbacks", record.fallbacks()},
                      {"troubles", troubles_json(record)},
                      {"mean_relative_error", measured(mean_relative_error(record))},
                      {"bits_per_weight", record.bits_per_weight},
                      {"predicted_damage", list_of(record.predicted_damage, damage_json)},
                      {"output_bytes", record.output_bytes}};
}

Json cost_json(const RunRecord& record) {
  Json phases = phases_json(record.phases);
  return Json::Object{{"seconds", record.seconds},
                      {"resumed", record.resumed},
                      {"seconds_before", record.seconds_before},
                      {"predicted_seconds", measured(record.predicted_seconds)},
                      {"phases", std::move(phases)},
                      {"work", work_json(record.work)},
                      {"peak_memory_bytes", record.peak_memory_bytes},
                      {"predicted_peak_memory_bytes",
                       record.predicted_peak_memory_bytes >= 0 ? Json(record.predicted_peak_memory_bytes) : Json()}};
}

// Receives the fields of LinearRecord from their visitor.
class LinearEcho {
 public:
  explicit LinearEcho(const LinearRecord& linear) : linear_(linear) {}
  Json take() { return std::move(object_); }

  template <class T>
  void operator()(std::string_view name, const T& field, Measured present) {
    object_.set(name, value(field, present));
    if (name != "status") return;
    Json troubles = Json::array();
    for (const Trouble trouble : troubles_of(linear_)) troubles.push_back(std::string(trouble_name(trouble)));
    object_.set("troubles", std::move(troubles));
  }

 private:
  static Json value(const std::string& field, Measured) { return text(field); }
  static Json value(int64_t field, Measured present) {
    return present == Measured::kSometimes && field < 0 ? Json() : Json(field);
  }
  static Json value(int field, Measured) { return field; }
  static Json value(bool field, Measured) { return field; }
  static Json value(double field, Measured present) {
    return present == Measured::kSometimes ? measured(field) : Json(field);
  }
  static Json value(LinearStatus field, Measured) { return std::string(status_name(field)); }
  static Json value(const std::vector<int64_t>& field, Measured) { return field.empty() ? Json() : list(field); }

  const LinearRecord& linear_;
  Json object_ = Json::object();
};

Json linear_json(const LinearRecord& linear) {
  LinearEcho echo(linear);
  visit_linear_record(linear, echo);
  return echo.take();
}

Json experts_json(const RunRecord& record) {
  Json layers = Json::array();
  for (const ExpertTokens& layer : expert_tokens(record)) {
    Json tokens = Json::array();
    for (const int64_t count : layer.tokens) tokens.push_back(count < 0 ? Json() : Json(count));
    layers.push_back(Json::Object{{"layer", layer.layer}, {"tokens", std::move(tokens)}});
  }
  return layers;
}

Json forecast_json(const Forecast& forecast) {
  Json layers = Json::array();
  for (const int64_t layer : forecast.layers) layers.push_back(layer);
  return Json::Object{{"layers", std::move(layers)},
                      {"whole_seconds", forecast.seconds},
                      {"whole_peak_memory_bytes", forecast.peak_memory_bytes}};
}

}  // namespace

std::string to_json(const RunRecord& record) {
  Json warnings = Json::array();
  for (const std::string& warning : record.warnings) warnings.push_back(text(warning));
  Json linears = Json::array();
  for (const LinearRecord& linear : record.linears) linears.push_back(linear_json(linear));
  Json root = Json::Object{{"schema", "hesse-run/1"},
                           {"version", text(record.version)},
                           {"model", text(last_part(record.model_name))},
                           {"family", text(record.family)},
                           {"format", text(record.format)},
                           {"options", options_json(record.options)},
                           {"machine", machine_json(record)},
                           {"inputs", inputs_json(record)},
                           {"calibration", calibration_json(record)},
                           {"tokenizer_trial", tokenizer_trial_json(record.tokenizer_trial)},
                           {"result", result_json(record)},
                           {"cost", cost_json(record)},
                           {"warnings", std::move(warnings)},
                           {"linears", std::move(linears)}};
  if (const Json experts = experts_json(record); !experts.as_array("experts").empty()) root.set("experts", experts);
  if (record.forecast) root.set("trial", forecast_json(*record.forecast));
  return root.dump(2);
}

}  // namespace hesse
