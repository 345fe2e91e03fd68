#include "run/job.h"

#include <iterator>

#include "quant/held_out.h"

namespace hesse {

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
