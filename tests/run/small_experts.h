// A random model of two layers with six experts, two a token, and what is known of its first layer: its router never
// takes expert 4, and takes expert 5 for the letter 'Z' alone.
//
// The attention of that layer gives nothing, so that its router reads embeddings; channel 0 of those is 1 for 'Z' and 0
// for the rest. Rows 0 and 1 of the router are each other's negative, as are rows 2 and 3: two of the four outputs are
// never below 0, which is what row 4 gives; row 5 looks at channel 0 alone.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "run/small_run.h"

namespace hesse {

struct SmallExperts {
  static constexpr int64_t kHidden = 32, kWidth = 16, kExperts = 6, kDead = 4, kRare = 5, kVocab = 258;
  static constexpr int64_t kLinears = 2 * (4 + 3 * kExperts);

  // MODEL and MODEL.txt, a calibration text whose letter 'Z' stands there once.
  static void make(const std::filesystem::path& directory) {
    SmallModel::make(directory);
    std::ofstream(directory / "config.json") << R"({"architectures": ["MixtralForCausalLM"], "model_type": "mixtral",
      "dtype": "float32", "vocab_size": 258, "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 2,
      "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "hidden_act": "silu", "sliding_window": null,
      "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "tie_word_embeddings": true, "bos_token_id": 256,
      "eos_token_id": 257, "rope_theta": 10000.0, "num_local_experts": 6, "num_experts_per_tok": 2})";
    write_weights(directory);
    Rng rng(7);
    std::string text;
    while (text.size() < 97) text += static_cast<char>('a' + rng.below(26));
    text[40] = 'Z';
    std::ofstream(directory.string() + ".txt") << text;
  }

  static std::string expert(int64_t layer, int64_t expert, const std::string& linear) {
    return "model.layers." + std::to_string(layer) + ".block_sparse_moe.experts." + std::to_string(expert) + "." +
           linear;
  }

 private:
  static std::vector<TensorSpec> tensors() {
    std::vector<TensorSpec> specs;
    const auto add = [&](std::string name, std::vector<int64_t> shape) {
      specs.push_back({name + ".weight", DType::kF32, std::move(shape)});
    };
    add("model.embed_tokens", {kVocab, kHidden});
    add("model.norm", {kHidden});
    for (int64_t l = 0; l < 2; ++l) {
      const std::string at = "model.layers." + std::to_string(l) + ".";
      for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) add(at + norm, {kHidden});
      for (const char* name : {"q", "o"}) add(at + "self_attn." + name + "_proj", {kHidden, kHidden});
      for (const char* name : {"k", "v"}) add(at + "self_attn." + name + "_proj", {16, kHidden});
      add(at + "block_sparse_moe.gate", {kExperts, kHidden});
      for (int64_t e = 0; e < kExperts; ++e) {
        for (const char* name : {"w1", "w3"}) add(expert(l, e, name), {kWidth, kHidden});
        add(expert(l, e, "w2"), {kHidden, kWidth});
      }
    }
    return specs;
  }

  static void shape_router(std::vector<float>& rows) {
    float* const row = rows.data();
    for (int64_t c = 0; c < kHidden; ++c) {
      for (int64_t pair : {0, 2}) row[(pair + 1) * kHidden + c] = -row[pair * kHidden + c];
      row[kDead * kHidden + c] = 0;
      row[kRare * kHidden + c] = c == 0 ? 5.0f : 0.0f;
    }
    for (int64_t r = 0; r < 4; ++r) row[r * kHidden] = 0;
  }

  static void write_weights(const std::filesystem::path& directory) {
    const std::vector<TensorSpec> specs = tensors();
    Rng rng(3);
    std::filesystem::remove(directory / "model.safetensors");
    SafetensorsWriter writer(directory / "model.safetensors", layout_safetensors(specs));
    for (const TensorSpec& spec : specs) {
      std::vector<float> values(static_cast<size_t>(spec.elements()));
      for (float& value : values) value = static_cast<float>(spec.shape.size() == 1 ? 1 : 0.2 * rng.normal());
      if (spec.name.find("embed") != std::string::npos) {
        for (int64_t id = 0; id < kVocab; ++id) values[static_cast<size_t>(id * kHidden)] = id == 'Z' ? 1.0f : 0.0f;
      }
      if (spec.name.find("layers.0.") != std::string::npos && spec.name.find("o_proj") != std::string::npos)
        std::fill(values.begin(), values.end(), 0.0f);
      if (spec.name.find("layers.0.block_sparse_moe.gate") != std::string::npos) shape_router(values);
      writer.write(spec.name, std::as_bytes(std::span(values)));
    }
    writer.finish();
  }
};

}  // namespace hesse
