// What single linears are to get: the recipe file, and whether format and engines can have it.
#include <fmt/format.h>

#include <string>
#include <utility>

#include "api/prepare.h"
#include "hesse/error.h"
#include "io/file.h"
#include "run/fates.h"

namespace hesse {
namespace {

const Advice kAdvice = {"run.recipe", "", "docs/RECIPES.md has examples; --print-recipe shows what is decided"};

// A flag and the recipe may both speak when they agree.
template <class T>
void take(const char* flag, const std::optional<T>& said, const T& standard, T& option) {
  if (!said || *said == option) return;
  if (option != standard) {
    throw Error(ErrorKind::kUsage, fmt::format("[recipe] {} is {} by its flag and {} by the recipe; leave one of them "
                                               "out",
                                               flag, option, *said));
  }
  option = *said;
}

LayerStages stages_of(const ModelShapes& shapes) {
  LayerStages stages;
  for (const PlannedLayer& layer : shapes.layers) stages.emplace_back(layer.stages.begin(), layer.stages.end());
  return stages;
}

// The same specs, and linears of equal ones side by side.
std::string why_not(const Job& job, const LinearShape& linear, const LinearSpec& spec) {
  if (std::string why = job.format->why_not(linear.out, linear.in, spec); !why.empty()) return why;
  const bool changed = !(spec == job.spec);  // a ragged standard is a warning of its own
  if (!changed || linear.in % spec.group_width(linear.in) == 0) return "";
  return fmt::format("groups of {} do not divide its {} inputs", spec.group_size, linear.in);
}

}  // namespace

void read_recipe(Prepared& prepared) {
  Job& job = prepared.job;
  if (job.options.recipe.empty()) return;
  prepared.findings.attempt(kAdvice, [&] {
    QuantizeOptions& options = job.options;
    const std::filesystem::path path = options.recipe;
    Recipe recipe = parse_recipe(read_text_file(path), path.filename().string());
    const QuantizeOptions standard = QuantizeOptions::with_preset(options.preset);
    take("--bits", recipe.values.bits, standard.bits, options.bits);
    take("--group-size", recipe.values.group_size, standard.group_size, options.group_size);
    take("--sym", recipe.values.symmetric, standard.symmetric, options.symmetric);
    take("--damp", recipe.values.damping, standard.damping, options.damping);
    if (recipe.bits_target > 0) take("--bits-target", std::optional(recipe.bits_target), 0.0, options.bits_target);
    job.spec = {.bits = options.bits, .group_size = options.group_size, .symmetric = options.symmetric};
    job.gptq.damping = options.damping;
    if (options.format == "auto") job.format = &export_format(options.symmetric ? "gptq" : "gptq_v2");
    prepared.recipe = std::move(recipe);
  });
}

void apply_recipe(Prepared& prepared) {
  Job& job = prepared.job;
  if (!prepared.shapes) return;
  prepared.findings.attempt(kAdvice, [&] {
    if (prepared.recipe)
      job.choices = resolve_rules(*prepared.recipe, stages_of(*prepared.shapes), {job.spec, job.gptq.damping});
    require_storable(job, *prepared.shapes);
  });
}

void require_storable(const Job& job, const ModelShapes& shapes) {
  const LinearSpec* first = nullptr;
  for (const PlannedLayer& layer : shapes.layers) {
    for (const PlannedStage& stage : layer.stages) {
      for (const LinearShape& linear : stage.linears) {
        const auto own = job.choices.find(linear.name);
        if (own == job.choices.end() || own->second.skip) continue;
        if (const std::string why = why_not(job, linear, own->second.spec); !why.empty()) {
          throw Error(ErrorKind::kUsage, fmt::format("[recipe] '{}' cannot have {} in format {}: {}", linear.name,
                                                     to_text(own->second.spec), job.format->name(), why));
        }
        if (!job.format->mixes() && !(own->second.spec == job.spec)) first = &own->second.spec;
      }
    }
  }
  if (first == nullptr) return;
  throw Error(ErrorKind::kUsage,
              fmt::format("[recipe] format {} has one bits and group size for all linears, not {} beside {}; gptq and "
                          "compressed-tensors can mix",
                          job.format->name(), to_text(*first), to_text(job.spec)));
}

}  // namespace hesse
