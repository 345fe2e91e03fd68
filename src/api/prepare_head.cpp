// The head as one more linear to quantize, where the user asks for it or an earlier result has it so.
#include <fmt/format.h>

#include <string>

#include "api/prepare.h"
#include "hesse/error.h"
#include "run/earlier_result.h"

namespace hesse {
namespace {

const Advice kAdvice = {"run.lm-head", "", "leave --lm-head out: the head stays in 16 bit"};

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::kUsage, "[lm-head] " + why); }

void require_possible(const Job& job, const ModelConfig& config) {
  const std::string head = config.own_head();
  if (config.tied_head) {
    refuse(
        fmt::format("config.json ties '{}' to the embedding '{}', and engines that load one matrix for both read it "
                    "in 16 bit",
                    head, config.embedding_module()));
  }
  if (config.normed_head) refuse("engines bring every row of this family's head to length 1, and read it in 16 bit");
  if (!job.format->packs_head())
    refuse(fmt::format("format {} has no place for it; gptq, gptq_v2 and compressed-tensors have", job.format->name()));
}

}  // namespace

void prepare_head(Prepared& prepared, const ModelConfig& config) {
  Job& job = prepared.job;
  const std::string name = config.own_head();
  const bool asked = job.options.lm_head != 0;
  if (!prepared.shapes || (!asked && !(job.earlier && job.earlier->holds(name)))) return;
  prepared.findings.attempt(kAdvice, [&] {
    require_possible(job, config);
    StageShape head = head_stage(config);
    prepared.shapes->add_head(head);
    job.stages.push_back(head);
    job.head = std::move(head);
    if (!asked) return;
    LinearSpec spec = job.spec;
    spec.bits = job.options.lm_head;
    job.choices[name] = {.spec = spec, .damping = job.gptq.damping};
    if (job.chosen) job.chosen->insert(name);
    require_storable(job, *prepared.shapes);
  });
}

}  // namespace hesse
