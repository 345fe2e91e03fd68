// What cannot be meant, said all at once. Options are named by their flags; a caller of the library finds the field in
// the visitor of hesse/options.h.
#include "hesse/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <string_view>

#include "data/sources.h"
#include "formats/format.h"
#include "hesse/error.h"
#include "plan/recipe.h"
#include "plan/selection.h"

namespace hesse {
namespace {

constexpr int kMaxThreads = 4096;
constexpr int64_t kMaxWidth = int64_t{1} << 24;
// Far above any calibration set, and far enough below 2^63 for tokens x width to be counted in int64_t.
constexpr int64_t kMaxCalibrationTokens = int64_t{1} << 36;

class Problems {
 public:
  template <class... Args>
  void unless(bool good, fmt::format_string<Args...> text, Args&&... args) {
    if (!good) list_.push_back(fmt::format(text, std::forward<Args>(args)...));
  }
  std::vector<std::string> take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

bool one_of(std::string_view value, std::initializer_list<std::string_view> known) {
  return std::find(known.begin(), known.end(), value) != known.end();
}

bool any_empty(const std::vector<std::string>& files) {
  return std::any_of(files.begin(), files.end(), [](const std::string& file) { return file.empty(); });
}

// "a/b", "a/b/" and "a/./b" are one path.
std::filesystem::path spelled_out(const std::string& path) {
  std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

void check_model(Problems& problems, const std::string& model) {
  problems.unless(!model.empty(), "model is missing; name a Hugging Face model directory");
}

void check_threads(Problems& problems, int threads) {
  problems.unless(threads >= 0 && threads <= kMaxThreads, "threads is {}; must be 0 (all processors) to {}", threads,
                  kMaxThreads);
}

void check_compute(Problems& problems, const std::string& compute) {
  problems.unless(one_of(compute, {"auto", "f32", "bf16"}), "compute is '{}'; must be auto, f32 or bf16", compute);
}

// Of generate and compare alike.
template <class Options>
void check_generation(Problems& problems, const Options& o) {
  problems.unless(o.chat || o.system.empty(), "system is given without chat; add --chat");
  problems.unless(o.max_tokens >= 1, "max-tokens is {}; must be at least 1", o.max_tokens);
  problems.unless(std::isfinite(o.temperature) && o.temperature >= 0,
                  "temperature is {}; must be 0 (most likely token) or above", o.temperature);
  problems.unless(o.top_p > 0 && o.top_p <= 1, "top-p is {}; must be above 0 and at most 1", o.top_p);
  check_compute(problems, o.compute);
  check_threads(problems, o.threads);
}

// What is only for one model on a text.
void check_reference_use(Problems& problems, const EvalOptions& o) {
  problems.unless(!o.attribute || !o.against.empty(), "attribute needs the original model; add --against");
  problems.unless(!o.attribute || o.others.empty(), "attribute is for one model; {} are given", o.others.size() + 1);
  problems.unless(o.save_reference.empty() || (o.others.empty() && o.against.empty()),
                  "save-reference is for one model alone; leave the others and --against out");
  const bool any = o.attribute || !o.against.empty() || !o.save_reference.empty() || o.like_gptq;
  problems.unless(o.task.empty() || !any,
                  "task goes without --against, --save-reference, --attribute and --like-gptq; name several models");
}

void check_paths(Problems& problems, const QuantizeOptions& o) {
  problems.unless(!o.output.empty() || o.trial, "output is missing; name a directory to make");
  problems.unless(o.model.empty() || o.output.empty() || spelled_out(o.model) != spelled_out(o.output),
                  "output is '{}', the model itself; name another directory", o.output);
  problems.unless(o.method != "gptq" || !o.calibration.empty(),
                  "calib is missing; method gptq needs a calibration text (rtn does without)");
}

bool is_width(int bits) { return bits == 2 || bits == 3 || bits == 4 || bits == 8; }

void check_bits(Problems& problems, int bits) {
  problems.unless(is_width(bits), "bits is {}; must be 2, 3, 4 or 8", bits);
}

// Of quantize, check and data alike.
template <class Options>
void check_calibration(Problems& problems, const Options& o) {
  for (const std::string& source : o.calibration) {
    const std::string problem = problem_of_source(source);
    problems.unless(problem.empty(), "{}", problem);
  }
  problems.unless(one_of(o.bos, {"auto", "always", "never"}), "bos is '{}'; must be auto, always or never", o.bos);
  problems.unless(o.random_share >= 0 && o.random_share <= 1, "random-share is {}; must be from 0 to 1",
                  o.random_share);
  problems.unless(o.samples >= 1, "samples is {}; must be at least 1", o.samples);
  problems.unless(o.length >= 2, "length is {}; must be at least 2 tokens", o.length);
  problems.unless(o.samples < 1 || o.length < 2 || o.samples <= kMaxCalibrationTokens / o.length,
                  "samples x length is {} x {}; must be at most {} tokens", o.samples, o.length, kMaxCalibrationTokens);
}

void check_trouble(Problems& problems, const QuantizeOptions& o) {
  problems.unless(one_of(o.on_nonfinite, {"stop", "skip-module"}), "on-nonfinite is '{}'; must be stop or skip-module",
                  o.on_nonfinite);
  problems.unless(o.max_nonfinite >= 0 && o.max_nonfinite < 1, "max-nonfinite is {}; must be from 0 to below 1",
                  o.max_nonfinite);
  problems.unless(std::isfinite(o.max_early_loss) && o.max_early_loss >= 0,
                  "max-early-loss is {}; must be 0 (no limit) or above", o.max_early_loss);
  problems.unless(std::isfinite(o.memory) && o.memory >= 0,
                  "memory is {} GB; must be 0 (four fifths of what is available) or above", o.memory);
  problems.unless(std::isfinite(o.hessian_memory) && o.hessian_memory >= 0,
                  "hessian-memory is {} GB; must be 0 (half of the memory) or above", o.hessian_memory);
}

void check_selection(Problems& problems, const QuantizeOptions& o) {
  try {
    if (!o.layers.empty()) parse_layers(o.layers);
  } catch (const Error& error) {
    problems.unless(false, "{}", error.what());
  }
  problems.unless(!any_empty(o.redo), "redo has an empty name");
  problems.unless(!o.trial || o.method == "gptq", "trial is for method gptq, the method is {}", o.method);
  problems.unless(!o.trial || o.redo.empty(), "trial and redo exclude each other; a trial writes nothing");
}

void check_recipe(Problems& problems, const QuantizeOptions& o) {
  problems.unless(std::isfinite(o.bits_target) && o.bits_target >= 0 && o.bits_target <= 16,
                  "bits-target is {}; must be 0 (none) to 16", o.bits_target);
  problems.unless(o.protect >= 0, "protect is {}; must be 0 or above", o.protect);
  problems.unless(o.bits_target == 0 || o.protect == 0,
                  "bits-target and protect exclude each other; a target protects "
                  "what is worth it");
  const bool measures = o.chooses_bits();
  problems.unless(!measures || !o.trial,
                  "trial goes without bits-target and protect; give what they chose as a recipe");
  problems.unless(!measures || o.redo.empty(), "redo goes without bits-target and protect; give a recipe");
  try {
    parse_bits(o.bits_choices);
  } catch (const Error& error) {
    problems.unless(false, "{}", error.what());
  }
}

void check_shard_size(Problems& problems, double size) {
  problems.unless(std::isfinite(size) && size > 0.0001, "shard-size is {} GB; must be above 0.0001", size);
}

void check_format(Problems& problems, const std::string& name, bool automatic) {
  std::string known = automatic ? "auto" : "";
  bool found = automatic && name == "auto";
  for (const ExportFormat* format : export_formats()) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", format->name());
    found = found || name == format->name();
  }
  problems.unless(found, "format is '{}'; must be one of {}", name, known);
}

// Everything but what is written and from which text, which `check` does without.
void check_run(Problems& problems, const QuantizeOptions& o) {
  check_bits(problems, o.bits);
  problems.unless(o.lm_head == 0 || is_width(o.lm_head), "lm-head is {}; must be 2, 3, 4 or 8, or 0 for 16 bit",
                  o.lm_head);
  problems.unless(o.group_size >= -1, "group-size is {}; must be positive, -1 for a whole row, or auto", o.group_size);
  check_format(problems, o.format, true);
  problems.unless(o.pad_intermediate >= -1 && o.pad_intermediate <= kMaxWidth,
                  "pad-intermediate is {}; must be off, auto, or 1 to {}", o.pad_intermediate, kMaxWidth);
  problems.unless(one_of(o.method, {"gptq", "rtn"}), "method is '{}'; must be gptq or rtn", o.method);
  check_calibration(problems, o);
  problems.unless(one_of(o.preset, {"fast", "balanced", "best", "classic"}),
                  "preset is '{}'; must be fast, balanced, best or classic", o.preset);
  problems.unless(o.damping >= 0 && o.damping <= 10, "damp is {}; must be auto, or above 0 and at most 10", o.damping);
  problems.unless(o.shift >= 0 && o.shift <= 1, "shift is {}; must be from 0 to 1", o.shift);
  problems.unless(o.residual >= 0 && o.residual <= 1, "residual is {}; must be from 0 to 1", o.residual);
  problems.unless(std::isfinite(o.ridge) && o.ridge >= 0, "ridge is {}; must be 0 or above", o.ridge);
  problems.unless(one_of(o.scale_search, {"weighted", "minmax"}), "scale-search is '{}'; must be weighted or minmax",
                  o.scale_search);
  problems.unless(one_of(o.order, {"groups", "activation", "file"}),
                  "order is '{}'; must be groups, activation or file", o.order);
  problems.unless(o.joint >= 1 && o.joint <= 64, "joint is {}; must be from 1 to 64", o.joint);
  problems.unless(o.sweeps >= 0 && o.sweeps <= 100, "sweeps is {}; must be from 0 to 100", o.sweeps);
  check_trouble(problems, o);
  check_selection(problems, o);
  check_recipe(problems, o);
  check_shard_size(problems, o.shard_size);
  problems.unless(std::isfinite(o.disk) && o.disk >= 0, "disk is {} GB; must be 0 (half of what is free) or above",
                  o.disk);
  check_compute(problems, o.compute);
  check_threads(problems, o.threads);
}

}  // namespace

// What the presets cost and gain: docs/QUALITY.md.
QuantizeOptions QuantizeOptions::with_preset(const std::string& name) {
  QuantizeOptions o;
  o.preset = name;
  if (name == "fast") {
    o.shift = o.residual = 0;
    o.sweeps = 0;
  } else if (name == "best") {
    o.samples = 256;
    o.joint = 32;
    o.sweeps = 8;
  } else if (name == "classic") {
    o.shift = o.residual = 0;
    o.order = "file";
    o.joint = 1;
    o.sweeps = 0;
    o.scale_search = "minmax";
    o.positive_scales = true;
  } else if (name != "balanced") {
    throw Error(ErrorKind::kUsage,
                fmt::format("[options] preset is '{}'; must be fast, balanced, best or classic", name));
  }
  return o;
}

std::vector<std::string> QuantizeOptions::problems() const {
  Problems problems;
  check_model(problems, model);
  if (!print_recipe) check_paths(problems, *this);
  check_run(problems, *this);
  return problems.take();
}

std::vector<std::string> CheckOptions::problems() const {
  Problems problems;
  check_model(problems, quantize.model);
  check_run(problems, quantize);
  problems.unless(!any_empty(text), "text has an empty file name");
  return problems.take();
}

std::vector<std::string> EvalOptions::problems() const {
  Problems problems;
  check_model(problems, model);
  problems.unless(!any_empty(others), "model has an empty name");
  problems.unless(!text.empty() || !task.empty(), "text is missing; name a UTF-8 text file");
  problems.unless(text.empty() || task.empty(), "text and task are two evaluations; give one");
  problems.unless(!any_empty(text), "text has an empty file name");
  problems.unless(!any_empty(task), "task has an empty file name");
  check_reference_use(problems, *this);
  problems.unless(items >= 0, "items is {}; must be positive, or 0 for all", items);
  problems.unless(window >= 2, "window is {}; must be at least 2 tokens", window);
  problems.unless(windows >= 0, "windows is {}; must be positive, or 0 for all", windows);
  problems.unless(one_of(bos, {"auto", "always", "never"}), "bos is '{}'; must be auto, always or never", bos);
  problems.unless(!like_gptq || (window == EvalOptions().window && bos != "always"),
                  "like-gptq sets --window and --bos itself; leave them out");
  check_compute(problems, compute);
  check_threads(problems, threads);
  return problems.take();
}

std::vector<std::string> CompareOptions::problems() const {
  Problems problems;
  check_model(problems, model);
  problems.unless(model.empty() || !others.empty(), "model: one is given; name two or more to compare");
  problems.unless(!any_empty(others), "model has an empty name");
  problems.unless(!prompts.empty(), "prompts is missing; name a file with a prompt a line");
  check_generation(problems, *this);
  return problems.take();
}

std::vector<std::string> GenerateOptions::problems() const {
  Problems problems;
  check_model(problems, model);
  check_generation(problems, *this);
  return problems.take();
}

std::vector<std::string> BenchOptions::problems() const {
  Problems problems;
  problems.unless(preset.empty() || one_of(preset, {"fast", "balanced", "best", "classic"}),
                  "preset is '{}'; must be fast, balanced, best or classic", preset);
  check_bits(problems, bits);
  problems.unless(group_size == -1 || group_size >= 1, "group-size is {}; must be positive, or -1 for a whole row",
                  group_size == 0 ? "auto" : fmt::format("{}", group_size));
  problems.unless(samples >= 0, "samples is {}; must be positive, or 0 for those of the preset", samples);
  problems.unless(length >= 2, "length is {}; must be at least 2 tokens", length);
  problems.unless(samples < 1 || length < 2 || samples <= kMaxCalibrationTokens / length,
                  "samples x length is {} x {}; must be at most {} tokens", samples, length, kMaxCalibrationTokens);
  check_threads(problems, threads);
  return problems.take();
}

std::vector<std::string> DataOptions::problems() const {
  Problems problems;
  check_model(problems, model);
  problems.unless(!calibration.empty(), "calib is missing; name a text, or builtin:general");
  check_calibration(problems, *this);
  return problems.take();
}

std::vector<std::string> TokenizeOptions::problems() const {
  Problems problems;
  problems.unless(!model.empty(), "model is missing; name a model directory, a tokenizer.json or a tokenizer.model");
  const int given = int{!text.empty()} + int{!file.empty()} + int{!decode.empty()};
  problems.unless(given > 0, "text is missing; give --text, --file or --decode");
  problems.unless(given < 2, "text, file and decode: {} of these are given; give one", given);
  problems.unless(!any_empty(file), "file has an empty name");
  return problems.take();
}

std::vector<std::string> ConvertOptions::problems() const {
  Problems problems;
  check_model(problems, model);
  problems.unless(!output.empty(), "output is missing; name a directory to make");
  problems.unless(model.empty() || output.empty() || spelled_out(model) != spelled_out(output),
                  "output is '{}', the model itself; name another directory", output);
  check_format(problems, format, false);
  check_shard_size(problems, shard_size);
  check_threads(problems, threads);
  return problems.take();
}

std::vector<std::string> VerifyOptions::problems() const {
  Problems problems;
  check_model(problems, model);
  check_threads(problems, threads);
  return problems.take();
}

std::vector<std::string> DiagnoseOptions::problems() const {
  Problems problems;
  problems.unless(!model.empty(), "model is missing; name a result of `hesse quantize`");
  return problems.take();
}

std::vector<std::string> ReportOptions::problems() const {
  Problems problems;
  problems.unless(!model.empty() && !any_empty(others),
                  "model is missing; name one or more results of `hesse quantize`");
  problems.unless(eval.empty() || eval.size() == others.size() + 1,
                  "eval has {} files for {} results; give one for each", eval.size(), others.size() + 1);
  return problems.take();
}

std::vector<std::string> InspectOptions::problems() const {
  Problems problems;
  if (!families) check_model(problems, model);
  return problems.take();
}

}  // namespace hesse
