// hesse-run.json back into the struct that it was made of. Members that are not known are ignored and options that are
// lacking have their defaults, since both may be added under the same schema; all else must be there.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "hesse/error.h"
#include "report/read.h"
#include "report/report.h"

namespace hesse {
namespace {

constexpr std::string_view kSchema = "hesse-run/1";
// Far above any model, and small enough for tables by layer and by expert.
constexpr int64_t kMostLayers = 100000;
constexpr int64_t kMostExperts = 1 << 16;

void require_schema(const JsonReader& root) {
  const std::string schema = root.text("schema");
  if (schema == kSchema) return;
  throw Error(ErrorKind::kBadInput,
              fmt::format("[record] {}: schema is '{}', this Hesse reads '{}'; {}", root.where(), schema, kSchema,
                          schema.starts_with("hesse-run/") ? "take the Hesse that wrote it, or quantize again"
                                                           : "give the directory of a result, or its hesse-run.json"));
}

LinearStatus status_of(const JsonReader& linear) {
  const std::string name = linear.text("status");
  for (int i = 0; i <= static_cast<int>(LinearStatus::kSkipped); ++i) {
    if (status_name(static_cast<LinearStatus>(i)) == name) return static_cast<LinearStatus>(i);
  }
  throw Error(ErrorKind::kBadInput, fmt::format("[record] {}: unknown status '{}'", linear.where(), name));
}

// Fills the fields of LinearRecord by their visitor.
class LinearFields {
 public:
  explicit LinearFields(const JsonReader& linear) : linear_(linear) {}
  void operator()(std::string_view name, std::string& field, Measured) const { field = linear_.text(name); }
  void operator()(std::string_view name, bool& field, Measured) const { field = linear_.boolean(name); }
  void operator()(std::string_view name, LinearStatus& field, Measured) const {
    if (name == "status") field = status_of(linear_);
  }
  void operator()(std::string_view name, int& field, Measured) const {
    field = static_cast<int>(linear_.integer(name, 0, std::numeric_limits<int>::max()));
  }
  void operator()(std::string_view name, int64_t& field, Measured present) const {
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    if (present == Measured::kSometimes) {
      field = linear_.has(name) ? linear_.integer(name, 0, kMostExperts) : -1;
    } else if (name == "layer") {
      field = linear_.integer(name, 0, kMostLayers);
    } else {
      field = linear_.integer(name, name == "group_size" ? -1 : 0, kMost);
    }
  }
  // Null is what was not measured, or was not finite.
  void operator()(std::string_view name, double& field, Measured present) const {
    field = present == Measured::kSometimes ? linear_.number_or(name, -1) : linear_.number(name);
  }
  void operator()(std::string_view name, std::vector<int64_t>& field, Measured) const {
    if (!linear_.has(name)) return;
    field = linear_.integers(name, 0, std::numeric_limits<int64_t>::max());
    if (field.size() == kErrorBins + 2) return;
    throw Error(ErrorKind::kBadInput, fmt::format("[record] {}: {} has {} counts; must be {}", linear_.where(), name,
                                                  field.size(), kErrorBins + 2));
  }

 private:
  const JsonReader& linear_;
};

PredictedDamage read_damage(const JsonReader& json) {
  return {.linears = json.texts("linears"),
          .bits = static_cast<int>(json.integer("bits", 2, 8)),
          .kl = json.number("kl"),
          .bits_at_8 = json.number("bits_per_weight_at_8")};
}

LinearRecord read_linear(const JsonReader& json) {
  LinearRecord linear;
  visit_linear_record(linear, LinearFields(json));
  return linear;
}

class OptionFields {
 public:
  explicit OptionFields(const JsonReader& options) : options_(options) {}
  template <class T>
  void operator()(std::string_view flag, T& field, std::string_view) const {
    std::string name(flag);
    std::replace(name.begin(), name.end(), '-', '_');
    if (options_.has(name)) read(name, field);
  }

 private:
  void read(const std::string& name, bool& field) const { field = options_.boolean(name); }
  void read(const std::string& name, int& field) const {
    constexpr int kMost = std::numeric_limits<int>::max();
    field = static_cast<int>(options_.integer(name, -1, kMost));
  }
  void read(const std::string& name, int64_t& field) const {
    field = options_.integer(name, -1, std::numeric_limits<int64_t>::max());
  }
  void read(const std::string& name, uint64_t& field) const { field = options_.whole(name); }
  void read(const std::string& name, double& field) const { field = options_.number(name); }
  void read(const std::string& name, std::string& field) const { field = options_.text(name); }
  void read(const std::string& name, std::vector<std::string>& field) const { field = options_.texts(name); }
  const JsonReader& options_;
};

TextFacts read_source(const JsonReader& json) {
  TextFacts source;
  source.name = json.text("name");
  source.kind = json.text("kind");
  source.weight = json.number("weight");
  source.bytes = json.count("bytes");
  source.sha256 = json.text_or("sha256", "");
  source.documents = json.count("documents");
  source.duplicates = json.count("duplicates");
  source.skipped = json.count("skipped");
  source.tokens = json.count("tokens");
  source.windows = json.count("windows");
  return source;
}

void read_machine(const JsonReader& json, RunRecord& record) {
  record.processor = json.text("processor");
  record.simd = json.text("simd");
  record.libraries = json.text("libraries");
  record.threads = static_cast<int>(json.integer("threads", 0, std::numeric_limits<int>::max()));
  record.compute = json.text("compute");
  record.compute_reason = json.text("compute_reason");
}

void read_calibration(const JsonReader& json, RunRecord& record) {
  record.calibration_sequences = json.count("sequences");
  record.calibration_tokens = json.count("tokens");
  record.calibration_sources = json.list("sources", read_source);
  if (!json.has("digest")) return;
  const JsonReader digest = json.object("digest");
  CalibrationFacts facts;
  facts.sequences = record.calibration_sequences;
  facts.tokens = record.calibration_tokens;
  facts.duplicate_sequences = digest.count("duplicate_sequences");
  facts.repeated = digest.number("repeated");
  facts.padding = digest.number("padding");
  facts.unknown = digest.number("unknown");
  facts.distinct_tokens = digest.count("distinct_tokens");
  facts.vocabulary_share = digest.number("vocabulary_share");
  facts.scripts = digest.list("scripts", [](const JsonReader& script) {
    return ScriptShare{script.text("script"), script.number("share")};
  });
  if (digest.has("token_buckets"))
    facts.token_buckets = digest.integers("token_buckets", 0, std::numeric_limits<int64_t>::max());
  facts.token_halves = digest.number_or("token_halves", -1);
  record.calibration = std::move(facts);
}

void read_trial(const JsonReader& root, RunRecord& record) {
  if (!root.has("tokenizer_trial")) return;
  const JsonReader json = root.object("tokenizer_trial");
  record.tokenizer_trial = TrialFacts{.text = json.text("text"),
                                      .predictions = json.count("predictions"),
                                      .nll = json.number("nll"),
                                      .nll_bos = json.number_or("nll_with_bos", -1),
                                      .uniform = json.number("uniform_nll")};
}

void read_cost(const JsonReader& json, RunRecord& record) {
  record.seconds = json.number("seconds");
  record.resumed = json.count("resumed");
  record.seconds_before = json.number("seconds_before");
  record.predicted_seconds = json.number_or("predicted_seconds", -1);
  record.phases = json.list("phases", [](const JsonReader& phase) {
    return PhaseTime{phase.text("name"), phase.number("seconds")};
  });
  const JsonReader work = json.object("work");
  record.work = {.linears = work.number("linears"),
                 .attention = work.number("attention"),
                 .hessian = work.number("hessian"),
                 .cross = work.number("cross"),
                 .factor = work.number("factor"),
                 .solve = work.number("solve")};
  record.peak_memory_bytes = json.count("peak_memory_bytes");
  const char* const predicted = "predicted_peak_memory_bytes";
  record.predicted_peak_memory_bytes = json.has(predicted) ? json.count(predicted) : -1;
}

void read_forecast(const JsonReader& root, RunRecord& record) {
  if (!root.has("trial")) return;
  const JsonReader json = root.object("trial");
  record.forecast = Forecast{.layers = json.integers("layers", 0, kMostLayers),
                             .seconds = json.number("whole_seconds"),
                             .peak_memory_bytes = json.count("whole_peak_memory_bytes")};
}

}  // namespace

RunRecord record_from_json(std::string_view text, const std::string& where) {
  const Json json = Json::parse(text, where);
  const JsonReader root(json, where);
  require_schema(root);
  RunRecord record;
  record.version = root.text("version");
  record.model_name = root.text("model");
  record.family = root.text("family");
  record.format = root.text("format");
  const JsonReader options = root.object("options");
  visit_options(record.options, OptionFields(options));
  read_machine(root.object("machine"), record);
  record.inputs = root.list("inputs", [](const JsonReader& file) {
    return InputFile{file.text("name"), file.count("bytes"), file.text("sha256")};
  });
  read_calibration(root.object("calibration"), record);
  read_trial(root, record);
  const JsonReader result = root.object("result");
  record.output_bytes = result.count("output_bytes");
  record.bits_per_weight = result.number("bits_per_weight");
  if (result.has("predicted_damage")) record.predicted_damage = result.list("predicted_damage", read_damage);
  read_cost(root.object("cost"), record);
  record.warnings = root.texts("warnings");
  record.linears = root.list("linears", read_linear);
  read_forecast(root, record);
  return record;
}

}  // namespace hesse
