// Configurations whose work can be counted by hand.
#pragma once

#include "io/json.h"
#include "model/config.h"

namespace hesse {

inline ModelConfig llama_config(const std::string& fields) {
  return parse_model_config(Json::parse("{\"model_type\": \"llama\", " + fields + "}", "test"), "test");
}

// One layer. q and o are [8, 8], k and v [4, 8], gate and up [12, 8], down [8, 12]: weights 192, 64, 192, 96.
inline ModelConfig tiny_config() {
  return llama_config(R"("hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
                         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "vocab_size": 10,
                         "max_position_embeddings": 64)");
}

}  // namespace hesse
