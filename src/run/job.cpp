#include "run/job.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "quant/held_out.h"

namespace hesse {

int64_t layer_count(const Job& job) { return job.model->config().layers + (job.head ? 1 : 0); }

std::vector<StageShape> stages_of_layer(const Job& job, int64_t layer) {
  const ModelConfig& config = job.model->config();
  return layer < config.layers ? layer_stages(config, layer) : std::vector{*job.head};
}

ModelShapes shapes_of(const Job& job) {
  ModelShapes shapes(job.model->config());
  if (job.head) shapes.add_head(*job.head);
  return shapes;
}

LinearChoice choice_of(const Job& job, const std::string& linear) {
  const auto own = job.choices.find(linear);
  return own != job.choices.end() ? own->second : LinearChoice{job.spec, job.gptq.damping};
}

int64_t group_width(const Job& job, const Block::Stage& stage) {
  const int64_t in = stage.in();
  int64_t width = 1;
  for (const Linear& linear : stage.linears) width = std::lcm(width, choice_of(job, linear.name).spec.group_width(in));
  return stage.linears.empty() ? job.spec.group_width(in) : std::min(width, in);
}

GptqOptions gptq_options(const QuantizeOptions& options) {
  GptqOptions gptq{.damping = options.damping,
                   .joint_candidates = static_cast<int>(options.joint),
                   .sweeps = static_cast<int>(options.sweeps),
                   .targets = {.shift = options.shift, .residual = options.residual, .ridge = options.ridge}};
  gptq.grid = {.search = options.scale_search == "minmax" ? ScaleSearch::kMinMax : ScaleSearch::kWeighted,
               .negative_scales = !options.positive_scales};
  gptq.order = options.order == "file"         ? ColumnOrder::kFile
               : options.order == "activation" ? ColumnOrder::kActivation
                                               : ColumnOrder::kGroups;
  return gptq;
}

QuantizeSize size_of(const Job& job) {
  return {.sequences = job.windows ? job.windows->count() : 0,
          .length = job.windows ? job.windows->length() : 0,
          .solves = job.solver->needs_hessian,
          .targets = job.gptq.targets,
          .group_size = job.options.group_size,
          .hessian_bytes = job.hessian_memory_bytes,
          .trials = job.gptq.damping == kDampingByData ? std::ssize(kDampings) : 0};
}

}  // namespace hesse
