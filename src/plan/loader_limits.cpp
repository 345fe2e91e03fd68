#include "plan/loader_rules.h"

namespace hesse {
namespace {

const std::vector<FamilyLimit> kLimits = {
    {.engine = "transformers",
     .formats = {"gptq", "gptq_v2"},
     .model_types = {"falcon"},
     .why =
         "optimum replaces linears whose class is nn.Linear itself; this family has a class of its own, and they are "
         "left as random numbers",
     .source = "huggingface/optimum: optimum/gptq/utils.py (2.3.0), get_layers",
     .date = "2026-11"},
    {.engine = "transformers",
     .formats = {"awq"},
     .model_types = {"falcon", "gptj", "gpt_neox", "bloom", "starcoder2"},
     .why = "it puts an activation with scales of its own into the MLP, which no file of a grid that was solved has",
     .source = "huggingface/transformers: src/transformers/integrations/awq.py (5.23.0), AWQ_SCALES_MAPPINGS",
     .date = "2026-11"},
    {.engine = "GPTQModel",
     .formats = {"gptq", "gptq_v2", "awq"},
     .model_types = {"phi3"},
     .why = "it looks for gate_proj and up_proj, which files of this family hold as one gate_up_proj",
     .source = "ModelCloud/GPTQModel: gptqmodel/models/definitions/phi3.py (7.7.0)",
     .date = "2026-11"},
    {.engine = "GPTQModel",
     .formats = {"gptq", "gptq_v2", "awq"},
     .model_types = {"mixtral"},
     .why = "it looks for mlp.experts.0.gate_proj, as transformers 5 has it in memory, where files of this family say "
            "block_sparse_moe.experts.0.w1",
     .source = "ModelCloud/GPTQModel: gptqmodel/models/definitions/mixtral.py (7.7.0)",
     .date = "2026-11"},
    {.engine = "GPTQModel",
     .formats = {"gptq", "gptq_v2", "awq"},
     .model_types = {"gpt_neox"},
     .why =
         "files of this family call the head embed_out, transformers 5 in memory lm_head: it is left as random numbers",
     .source = "ModelCloud/GPTQModel: gptqmodel/models/definitions/gpt_neox.py (7.7.0)",
     .date = "2026-11"},
};

}  // namespace

std::span<const FamilyLimit> family_limits() { return kLimits; }

}  // namespace hesse
