// The fields of config.json that are about latent attention.
#include <fmt/format.h>

#include <cmath>

#include "model/config_fields.h"

namespace hesse {

void read_latent_heads(const Fields& fields, const Family& family, ModelConfig& result) {
  constexpr int64_t kWidest = int64_t{1} << 20;
  LatentConfig latent;
  latent.q_rank = fields.json().find_value("q_lora_rank") == nullptr ? 0 : fields.size("q_lora_rank", 0, kWidest);
  latent.kv_rank = fields.size("kv_lora_rank", 512, kWidest);
  latent.nope = fields.size("qk_nope_head_dim", 128, kWidest);
  latent.rope = fields.size("qk_rope_head_dim", 64, kWidest);
  latent.value = fields.size("v_head_dim", 128, kWidest);
  const std::string_view key = family.latent.interleave_key;
  latent.interleaved = key.empty() || fields.flag(key, true);
  if (latent.rope % 2 != 0)
    fields.refuse(fmt::format("'qk_rope_head_dim' is {}; RoPE needs an even number", latent.rope));
  // Values are carried in rows of the width of keys.
  if (latent.value > latent.nope + latent.rope)
    fields.refuse(fmt::format("'v_head_dim' {} is above {} and {} elements of a key, which is not supported",
                              latent.value, latent.nope, latent.rope));
  if (latent.nope + latent.rope > (int64_t{1} << 30) / result.heads)
    fields.refuse(fmt::format("{} heads of {} are too many", result.heads, latent.nope + latent.rope));
  result.latent = latent;
  result.kv_heads = result.heads;
  result.head_dim = latent.nope + latent.rope;
  result.attention_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(result.head_dim)));
}

}  // namespace hesse
