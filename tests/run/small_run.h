// A random model of two layers and a run on it that takes a moment.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "api/quantize_with.h"
#include "base/rng.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "tokenizer/byte_alphabet.h"

namespace hesse {

struct SmallModel {
  static constexpr int64_t kHidden = 32, kIntermediate = 48, kHeads = 2, kKvHeads = 1, kLayers = 2, kVocab = 258;
  static constexpr int64_t kLinears = 7 * kLayers;

  // MODEL and MODEL.txt, a calibration text. With `head_rows` (258 at least) it has a head of its own, of that many
  // rows.
  static void make(const std::filesystem::path& directory, int64_t head_rows = 0) {
    std::filesystem::create_directories(directory);
    std::ofstream(directory / "config.json") << R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
      "dtype": "float32", "vocab_size": )" << std::max(head_rows, kVocab)
                                             << R"(, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
      "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "hidden_act": "silu",
      "max_position_embeddings": 64, "rms_norm_eps": 1e-05, "tie_word_embeddings": )"
                                             << (head_rows > 0 ? "false" : "true") << R"(, "bos_token_id": 256,
      "eos_token_id": 257, "rope_theta": 10000.0})";
    Json vocab = Json::object();
    for (int byte = 0; byte < 256; ++byte) {
      std::string character;
      append_byte_char(character, static_cast<unsigned char>(byte));
      vocab.set(character, byte);
    }
    vocab.set("<s>", 256);
    vocab.set("</s>", 257);
    std::ofstream(directory / "tokenizer.json")
        << R"({"added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false,
      "use_regex": true}, "post_processor": null, "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE",
      "merges": [], "vocab": )"
        << vocab.dump() << "}}";
    std::ofstream(directory / "tokenizer_config.json") << R"({"bos_token": "<s>", "eos_token": "</s>"})";
    write_weights(directory, head_rows);
    Rng rng(7);
    std::ofstream text(directory.string() + ".txt");
    for (int i = 0; i < 400; ++i) text << static_cast<char>('a' + rng.below(26)) << (rng.below(5) == 0 ? " " : "");
  }

 private:
  static void write_weights(const std::filesystem::path& directory, int64_t head_rows) {
    std::vector<TensorSpec> specs;
    const auto add = [&](std::string name, std::vector<int64_t> shape) {
      specs.push_back({std::move(name), DType::kF32, std::move(shape)});
    };
    add("model.embed_tokens.weight", {std::max(head_rows, kVocab), kHidden});
    add("model.norm.weight", {kHidden});
    for (int64_t l = 0; l < kLayers; ++l) {
      const std::string at = "model.layers." + std::to_string(l) + ".";
      const int64_t head = kHidden / kHeads;
      for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) add(at + norm + ".weight", {kHidden});
      add(at + "self_attn.q_proj.weight", {kHidden, kHidden});
      for (const char* name : {"k", "v"}) add(at + "self_attn." + name + "_proj.weight", {kKvHeads * head, kHidden});
      add(at + "self_attn.o_proj.weight", {kHidden, kHidden});
      for (const char* name : {"gate", "up"}) add(at + "mlp." + name + "_proj.weight", {kIntermediate, kHidden});
      add(at + "mlp.down_proj.weight", {kHidden, kIntermediate});
    }
    if (head_rows > 0) add("lm_head.weight", {head_rows, kHidden});
    Rng rng(3);
    SafetensorsWriter writer(directory / "model.safetensors", layout_safetensors(specs));
    for (const TensorSpec& spec : specs) {
      std::vector<float> values(static_cast<size_t>(spec.elements()));
      for (float& value : values) value = static_cast<float>(spec.shape.size() == 1 ? 1 : 0.2 * rng.normal());
      writer.write(spec.name, std::as_bytes(std::span(values)));
    }
    writer.finish();
  }
};

inline QuantizeOptions small_options(const std::filesystem::path& model, const std::filesystem::path& output) {
  QuantizeOptions options;
  options.model = model.string();
  options.output = output.string();
  options.calibration = {model.string() + ".txt"};
  options.samples = 6;
  options.length = 16;
  options.group_size = 16;
  options.compute = "f32";
  options.check = false;  // a model of random numbers knows no text
  options.threads = 1;
  return options;
}

inline bool has(const std::string& flags, char flag) { return flags.find(flag) != std::string::npos; }

// `flags`, any of: s snapshots (small_settings), r method rtn, o overwrite, d redo of the second layer.
inline QuantizeOptions small_options(const std::filesystem::path& model, const std::filesystem::path& output,
                                     const std::string& flags) {
  QuantizeOptions options = small_options(model, output);
  options.overwrite = has(flags, 'o');
  if (has(flags, 'r')) {
    options.method = "rtn";
    options.calibration.clear();
  }
  if (has(flags, 'd')) {
    options.redo = {"model.layers.1.*"};
    options.damping = 0.05;
  }
  return options;
}

// A snapshot behind every layer, or none.
inline QuantizeSettings small_settings(bool snapshots) {
  QuantizeSettings settings;
  settings.predict = false;
  settings.snapshots = {.worth = snapshots ? 0.0 : 1e9, .spare_bytes = 0};
  return settings;
}

}  // namespace hesse
