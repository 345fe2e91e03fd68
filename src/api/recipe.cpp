#include <utility>
#include <vector>

#include "api/choose_bits.h"
#include "api/plan.h"
#include "api/prepare.h"
#include "api/problems.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "run/fates.h"

namespace hesse {

std::vector<LinearSetting> resolve_recipe(const QuantizeOptions& options, Listener& listener) {
  CheckOptions asked;
  asked.quantize = options;
  require_no_problems(asked);
  set_threads(options.threads);
  QuantizeOptions unchecked = options;
  unchecked.check = false;  // whose tokenizer it is makes no difference here
  Prepared prepared = prepare(unchecked, {}, listener);
  prepared.findings.throw_if_error();
  Job& job = prepared.job;
  job.memory_bytes = memory_budget(options);
  choose_bits(job, *prepared.shapes, listener);
  std::vector<LinearSetting> settings;
  for (const StageShape& stage : job.stages) {
    for (const LinearShape& linear : stage.linears) {
      const LinearChoice choice = choice_of(job, linear.name);
      settings.push_back({.name = linear.name,
                          .skip = !is_packed(fate_of(job, linear.name)),
                          .bits = choice.spec.bits,
                          .group_size = choice.spec.group_size,
                          .symmetric = choice.spec.symmetric,
                          .damping = choice.damping});
    }
  }
  return settings;
}

}  // namespace hesse
