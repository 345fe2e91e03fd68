// The directory: config.json, the weight files, every tensor, and what the format can store of them.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "api/families.h"
#include "api/prepare.h"
#include "hesse/error.h"
#include "model/fp8.h"
#include "model/tensors.h"
#include "plan/group_sizes.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using Kind = TensorProblem::Kind;

constexpr size_t kMostFindings = 12;  // of one kind; the rest is counted

const Advice kConfigFile = {"config.file", "", "fetch config.json of the model again"};
const Advice kConfigFields = {"config.fields", "the layers cannot be built without it",
                              "take config.json of the original model, or a model of a known architecture"};
const Advice kPadding = {"run.padding", "", "another --pad-intermediate, or none"};
const Advice kFiles = {"weights.files", "", "fetch the damaged or missing files again"};

Error bad_input(const std::string& text) { return {ErrorKind::kBadInput, text}; }

// Of a name in a layer: the same for every layer.
std::string without_layer(const std::string& name) {
  std::string text;
  for (const char c : name) {
    if (c < '0' || c > '9') text += c;
  }
  return text;
}

Advice advice_on(Kind kind) {
  switch (kind) {
    case Kind::kMissing:
      return {"weights.missing", "", "fetch the weight files and the index again"};
    case Kind::kShape:
      return {"weights.shape", "", "take config.json and the weights from the same place"};
    case Kind::kContent:
      return {"weights.content", "", "fetch the file again, or give the full-precision model"};
  }
  return {};
}

// One finding for what is wrong in the same way in several layers.
void tell_tensor_problems(const std::vector<TensorProblem>& problems, Findings& findings) {
  std::vector<std::pair<const TensorProblem*, int64_t>> groups;  // the first, and how many there are
  std::map<std::pair<Kind, std::string>, size_t> index;
  for (const TensorProblem& problem : problems) {
    const std::string what = problem.kind == Kind::kMissing ? "" : without_layer(problem.tensor);
    const auto [at, fresh] = index.emplace(std::pair(problem.kind, what), groups.size());
    if (fresh) groups.emplace_back(&problem, 0);
    ++groups[at->second].second;
  }
  for (size_t i = 0; i < std::min(groups.size(), kMostFindings); ++i) {
    const auto& [first, count] = groups[i];
    const std::string more = count > 1 ? fmt::format(" (and {} more)", count - 1) : "";
    findings.error(bad_input(first->text + more), advice_on(first->kind));
  }
}

void tell_misfit(const ConfigMisfit& misfit, const TensorProblem& first, Findings& findings) {
  findings.error(bad_input(fmt::format("{}: 'config.json' has '{}' {}, the tensors are made for {}", first.text,
                                       misfit.key, misfit.said, misfit.fits)),
                 {"config.sizes", "this number alone makes the shapes of config.json and tensors differ",
                  "take config.json and the weights from the same place"});
}

// Tensors that the model does not read: harmless buffers, or a sign that config.json says too little.
void check_unused(const Prepared& prepared, const ModelConfig& config, Findings& findings) {
  const std::vector<std::string> known = tensor_names(config);
  const PackedExperts& experts = prepared.job.source->packed_experts();
  std::vector<std::string> parts, others;
  for (const TensorView* tensor : prepared.job.checkpoint->tensors()) {
    const std::string& name = tensor->spec.name;
    if (std::binary_search(known.begin(), known.end(), name) || name.ends_with(fp8_scale_suffix()) ||
        experts.reads(name))
      continue;
    // Masks of old files are called "bias" and are no vectors.
    const bool vector = tensor->spec.shape.size() == 1;
    const bool mine = !config.is_part || name.starts_with(config.whole_name(""));
    const bool part = mine && ((name.ends_with(".bias") && vector) || name.ends_with(".weight"));
    (part ? parts : others).push_back(name);
  }
  const auto tell = [&](const std::vector<std::string>& names) {
    return fmt::format("{} tensors of the checkpoint are no part of a '{}' model of {} layers, the first '{}'",
                       names.size(), config.family->name, config.layers, names.front());
  };
  if (!parts.empty()) {
    findings.warning("weights.unused", tell(parts),
                     "the forward pass leaves them out, and the result keeps them as they are",
                     "compare 'num_hidden_layers', 'attention_bias' and 'mlp_bias' of config.json with the original's");
  }
  if (!others.empty())
    findings.note("weights.unused", tell(others), "parts that the text does not need are kept as they are", "");
}

void check_head(const Prepared& prepared, const ModelConfig& config, Findings& findings) {
  const std::string head = config.own_head() + ".weight";
  const bool own = prepared.job.checkpoint->find(head) != nullptr;
  if (!own && !config.tied_head) {
    findings.error(bad_input(fmt::format("[config] config.json: 'tie_word_embeddings' is false, and '{}' is not among "
                                         "the {} tensors",
                                         head, prepared.job.checkpoint->tensors().size())),
                   {"config.head", "engines would begin with a head of random numbers",
                    "set 'tie_word_embeddings' to true when the embedding is the head; else fetch the weights again"});
  } else if (own && config.tied_head) {
    findings.note("config.head", fmt::format("'{}' is there although config.json ties the head to the embedding", head),
                  "transformers 4 takes the embedding, transformers 5 and Hesse the tensor", "");
  }
}

bool check_tensors(Prepared& prepared, const ModelConfig& config) {
  Findings& findings = prepared.findings;
  const std::vector<TensorProblem> problems = tensor_problems(config, *prepared.job.source);
  if (problems.empty()) {
    check_head(prepared, config, findings);
    check_unused(prepared, config, findings);
    return true;
  }
  if (const std::optional<ConfigMisfit> misfit = find_misfit(config, *prepared.job.source)) {
    tell_misfit(*misfit, problems.front(), findings);
  } else {
    tell_tensor_problems(problems, findings);
  }
  return false;
}

// "hesse quantize MODEL -o OUT --calib TEXT --bits 3", to be copied.
std::string quantize_command(const QuantizeOptions& options) {
  std::string text =
      fmt::format("hesse quantize {} -o {}", options.model, options.output.empty() ? "OUT" : options.output);
  if (!options.calibration.empty()) text += fmt::format(" --calib {}", fmt::join(options.calibration, " "));
  if (options.bits != QuantizeOptions().bits) text += fmt::format(" --bits {}", options.bits);
  return text;
}

// config.json as far as it can be read; false when there is nothing to compare the tensors with.
bool read_config(Prepared& prepared) {
  Job& job = prepared.job;
  Findings& findings = prepared.findings;
  if (!findings.attempt(kConfigFile, [&] { job.config_json = read_config_json(job.model_directory); })) return false;
  const Json* quantized = job.config_json.find_value("quantization_config");
  if (quantized != nullptr && !is_read_as_plain(quantized)) {
    const Json* method = quantized->find_value("quant_method");
    findings.error(bad_input(fmt::format("[config] config.json: the model is quantized already (quant_method {}); give "
                                         "the full-precision model",
                                         method != nullptr ? method->dump() : "unknown")),
                   {"config.quantized", "codes are no weights to quantize", "take the model that it was made from"});
    return false;
  }
  if (!job.options.as.empty() && !findings.attempt(kConfigFields, [&] { config_as(job.config_json, job.options.as); }))
    return false;
  const Json config = config_as(job.config_json, job.options.as);
  if (is_unknown_type(config) && job.checkpoint != nullptr) {
    findings.error(unknown_type(config, *job.checkpoint), kConfigFields);
    return false;
  }
  if (!job.options.as.empty()) {
    findings.warning(
        "config.family",
        fmt::format("the model is taken for '{}', although config.json says {}", job.options.as,
                    job.config_json.find("model_type") ? job.config_json.find("model_type")->dump() : "nothing"),
        "its tensors have the names and shapes, but its forward pass may be another one",
        "compare 'hesse eval' of the original with what the authors say of it");
  }
  const std::vector<Error> problems = config_problems(config, "config.json");
  for (const Error& problem : problems) findings.error(problem, kConfigFields);
  return problems.empty();
}

// Widens the MLPs, where that is asked for: `config` and config.json become those of the result.
void pad_intermediate(Prepared& prepared, ModelConfig& config) {
  Job& job = prepared.job;
  if (job.options.pad_intermediate == 0) return;
  const int64_t narrow = config.intermediate, wide = width_of_mlps(job.options, config);
  if (wide == narrow)
    return prepared.findings.good("run.padding", fmt::format("MLPs of {} channels need no more", wide));
  job.config_json = with_intermediate(job.config_json, config, wide);
  auto padded = std::make_unique<PaddedSource>(*job.checkpoint, config, wide);
  job.padded = padded.get();
  job.source = std::move(padded);
  config = choose_scheme(parse_model_config(config_as(job.config_json, job.options.as), "config.json"), *job.source);
  prepared.findings.note("run.padding", fmt::format("MLPs of {} channels are widened to {} with zeros", narrow, wide),
                         "config.json of the result says so; the model computes the same");
}

}  // namespace

int64_t width_of_mlps(const QuantizeOptions& options, const ModelConfig& config) {
  const int64_t asked = options.pad_intermediate, narrow = config.intermediate;
  if (asked == 0) return narrow;
  if (asked < 0) return padded_width(narrow, options.group_size);
  if (asked >= narrow) return asked;
  throw Error(ErrorKind::kUsage,
              fmt::format("[padding] --pad-intermediate {} is less than the {} channels that the MLPs "
                          "have; padding cannot take any away",
                          asked, narrow));
}

// What it cannot store stops the run.
void check_group_size(Prepared& prepared) {
  Job& job = prepared.job;
  if (job.spec.group_size == kAutoGroupSize) {  // the record shows the size that is taken
    job.spec.group_size = job.options.group_size = largest_common_group_size(job.stages);
  }
  for (Finding finding : check_group_sizes(job.stages, job.spec, *job.format)) {
    if (finding.remedy.starts_with("--")) finding.remedy = quantize_command(job.options) + " " + finding.remedy;
    if (finding.severity != Severity::kError) {
      prepared.findings.add(finding);
      continue;
    }
    prepared.findings.error(
        Error(ErrorKind::kUsage, fmt::format("[{}] {}: {}; group sizes that divide every width: {}", job.format->name(),
                                             finding.what, finding.why, group_size_advice(job.stages))),
        {finding.check, "the format cannot store this linear", finding.remedy});
  }
}

void prepare_model(Prepared& prepared) {
  Job& job = prepared.job;
  Findings& findings = prepared.findings;
  std::vector<Error> file_problems;  // told behind those of config.json
  try {
    job.checkpoint = std::make_unique<Checkpoint>(job.model_directory);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBadInput) throw;
    file_problems = Checkpoint::problems(job.model_directory);
  }
  const bool usable = read_config(prepared);
  for (const Error& problem : file_problems) findings.error(problem, kFiles);
  if (job.checkpoint == nullptr || !usable) return;
  ModelConfig config = parse_model_config(config_as(job.config_json, job.options.as), "config.json");
  const Advice shapes = {"weights.shape", "", "take config.json and the weights from the same place"};
  if (!findings.attempt(shapes, [&] { job.source = std::make_unique<CheckpointSource>(*job.checkpoint, config); }))
    return;
  config = choose_scheme(std::move(config), *job.source);
  job.compute = job.options.calibration.empty() ? ComputeChoice{ComputeType::kF32, "no forward pass"}
                                                : choose_compute(job.options.compute, job.config_json);
  if (!findings.attempt(kPadding, [&] { pad_intermediate(prepared, config); })) return;
  if (!check_tensors(prepared, config)) return;
  job.stages = model_stages(config);
  prepared.shapes.emplace(config);
  check_group_size(prepared);
  findings.good("weights.files", fmt::format("{} tensors in {} files, all of the shapes of config.json",
                                             job.checkpoint->tensors().size(), job.checkpoint->files().size()));
  job.model = std::make_unique<Model>(std::move(config), *job.source, job.options.length, job.compute.type);
}

// What is not finite stops the run, or leaves a linear alone where the user wants that.
void read_weights(Prepared& prepared, Listener& listener) {
  Job& job = prepared.job;
  if (job.model == nullptr) return;
  std::set<std::string> linears;
  for (const StageShape& stage : job.stages) {
    for (const LinearShape& linear : stage.linears) linears.insert(linear.name + ".weight");
  }
  const Advice advice = {"weights.finite", "one such value makes every activation behind it useless",
                         "fetch the file again, or go on without this linear: --on-nonfinite skip-module"};
  const Ticker ticker(listener, "reading every weight");
  const std::vector<PlainTensor> tensors = job.source->plain_tensors(ExpertsForm::kApart);
  double all = 1, done = 0;
  for (const PlainTensor& tensor : tensors) all += static_cast<double>(tensor.spec.bytes());
  size_t bad_tensors = 0;
  for (const PlainTensor& tensor : tensors) {
    ticker.tick(done / all);
    const std::optional<BadValue> bad = job.source->find_nonfinite(tensor);
    job.checkpoint->release(*tensor.in_file);
    done += static_cast<double>(tensor.spec.bytes());
    if (!bad) continue;
    const std::string& name = tensor.spec.name;
    if (job.options.on_nonfinite == "stop" || linears.count(name) == 0) {
      if (++bad_tensors <= kMostFindings)
        prepared.findings.attempt(advice, [&] { job.source->refuse_nonfinite(tensor, *bad); });
      continue;
    }
    const std::string module = name.substr(0, name.size() - std::string_view(".weight").size());
    job.source->pardon(module);
    job.skipped.insert(module);
    prepared.findings.warning(
        "weights.finite",
        fmt::format("'{}' has {} at row {}, column {}: not quantized, and taken for 0 in the forward pass", name,
                    bad->value, bad->row, bad->column),
        "", "fetch the file again");
  }
  if (bad_tensors == 0 && job.skipped.empty()) {
    prepared.findings.good("weights.finite",
                           fmt::format("all {} tensors are finite", job.checkpoint->tensors().size()));
  }
}

}  // namespace hesse
