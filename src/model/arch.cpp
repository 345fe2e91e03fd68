#include "model/arch.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace hesse {
namespace {

std::vector<Family> all_families() {
  std::vector<Family> all = llama_like_families();
  for (std::vector<Family> more : {expert_families(), gpt_like_families()})
    std::move(more.begin(), more.end(), std::back_inserter(all));
  return all;
}

const std::vector<Family> kFamilies = all_families();

// Facts: huggingface/transformers, `_checkpoint_conversion_mapping` of modeling_FAMILY.py, v4.57 and v5: the names in
// files of either.
const std::vector<NameScheme> kInside = {{"model.language_model.", "lm_head"},
                                         {"language_model.model.", "language_model.lm_head"}};
const std::vector<NameScheme> kQwenVl = {{"model.language_model.", "lm_head"}, {"model.", "lm_head"}};

const std::vector<Wrapper> kWrappers = {
    {"gemma3", "gemma3_text", kInside},     {"llava", "llama", kInside},
    {"internvl", "qwen2", kInside},         {"mistral3", "mistral", kInside},
    {"qwen2_vl", "qwen2", kQwenVl},         {"qwen2_5_vl", "qwen2", kQwenVl},
    {"qwen3_vl", "qwen3_vl_text", kQwenVl}, {"qwen3_vl_moe", "qwen3_vl_moe_text", kQwenVl},
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

std::span<const Wrapper> wrappers() { return kWrappers; }

const Wrapper* find_wrapper(std::string_view model_type) {
  const auto found = std::find_if(kWrappers.begin(), kWrappers.end(),
                                  [&](const Wrapper& wrapper) { return wrapper.model_type == model_type; });
  return found == kWrappers.end() ? nullptr : &*found;
}

}  // namespace hesse
