// Defects of a model directory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/check_rows.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const std::string kUp = "model.layers.2.mlp.up_proj.weight";
const std::string kIndex = "model.safetensors.index.json";
constexpr int64_t kShardBytes = 5 << 20;  // of the demo model, three shards

void put_nan(const ModelCopy& copy) {
  copy.change(kUp, [](StoredTensor& tensor) { tensor.bytes.replace(2 * (5 * 256 + 7), 2, "\xFF\x7F"); });
}

const Row kDirectory[] = {
    {"NoDirectory",
     Severity::kError,
     "config.file",
     {"no such directory"},
     [](const ModelCopy&, CheckOptions& o) { o.quantize.model += "-not-here"; }},
    {"NoConfig",
     Severity::kError,
     "config.file",
     {"no config.json"},
     [](const ModelCopy& copy, CheckOptions&) { fs::remove(copy.model() / "config.json"); }},
    {"BrokenConfig",
     Severity::kError,
     "config.file",
     {"config.json"},
     [](const ModelCopy& copy, CheckOptions&) { copy.put("model/config.json", "{\"model_type\": "); }},
    {"UnknownFamily",
     Severity::kError,
     "config.fields",
     {"architecture 'mamba2' is not supported"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("model_type", "\"mamba2\""); }},
    {"UnknownRope",
     Severity::kError,
     "config.fields",
     {"RoPE type 'xpos' is not supported; known: default"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("rope_parameters", R"({"rope_type": "xpos"})"); }},
    {"MissingRopeField",
     Severity::kError,
     "config.fields",
     {"RoPE type 'llama3' needs 'factor'"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("rope_parameters", R"({"rope_type": "llama3"})"); }},
    {"HeadsDoNotShare",
     Severity::kError,
     "config.fields",
     {"4 query heads cannot share 3 key/value heads"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("num_key_value_heads", "3"); }},
    {"HeadsDoNotDivide",
     Severity::kError,
     "config.fields",
     {"'hidden_size' 256", "'num_attention_heads' 6"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.set_config("head_dim", "null");
       copy.set_config("num_attention_heads", "6");
     }},
    {"QuantizedAlready",
     Severity::kError,
     "config.quantized",
     {"quantized already", "gptq"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.set_config("quantization_config", R"({"quant_method": "gptq"})");
     }},
    {"HeadDim",
     Severity::kError,
     "config.sizes",
     {"'head_dim' 32, the tensors are made for 64", "[256, 256]"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("head_dim", "32"); }},
    {"Intermediate",
     Severity::kError,
     "config.sizes",
     {"'intermediate_size' 800", "768", "[768, 256]", "[800, 256]"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("intermediate_size", "800"); }},
    {"KeyHeads",
     Severity::kError,
     "config.sizes",
     {"'num_key_value_heads' 4, the tensors are made for 2"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("num_key_value_heads", "4"); }},
    {"Vocabulary",
     Severity::kError,
     "config.sizes",
     {"'vocab_size' 5000, the tensors are made for 4096"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("vocab_size", "5000"); }},
    {"TooManyLayers",
     Severity::kError,
     "config.sizes",
     {"'num_hidden_layers' 8, the tensors are made for 6"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("num_hidden_layers", "8"); }},
    {"TooFewLayers",
     Severity::kWarning,
     "weights.unused",
     {"9 tensors", "of 5 layers", "model.layers.5."},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("num_hidden_layers", "5"); }},
    {"TiedHeadMissing",
     Severity::kError,
     "config.head",
     {"'tie_word_embeddings' is false", "'lm_head.weight'", "56"},
     [](const ModelCopy& copy, CheckOptions&) { copy.set_config("tie_word_embeddings", "false"); }},
    {"MissingTensor",
     Severity::kError,
     "weights.missing",
     {"'model.layers.2.mlp.up_proj.weight' is not in the"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.rewrite([](auto& tensors) {
         std::erase_if(tensors, [](const StoredTensor& tensor) { return tensor.spec.name == kUp; });
       });
     }},
    {"WrongShape",
     Severity::kError,
     "weights.shape",
     {"[256, 768]; config.json asks for [768, 256]"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.change(kUp, [](StoredTensor& tensor) { std::swap(tensor.spec.shape[0], tensor.spec.shape[1]); });
     }},
    {"WrongDtype",
     Severity::kError,
     "weights.content",
     {"has dtype I16; expected F16, BF16 or F32"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.change(kUp, [](StoredTensor& tensor) { tensor.spec.dtype = DType::kI16; });
     }},
    {"NotANumber",
     Severity::kError,
     "weights.finite",
     {"has nan at row 5, column 7", "skip-module"},
     [](const ModelCopy& copy, CheckOptions& o) {
       put_nan(copy);
       o.deep = true;
     }},
    {"NotANumberMetByTheTrial",
     Severity::kError,
     "weights.finite",
     {"has nan at row 5, column 7"},
     [](const ModelCopy& copy, CheckOptions& o) {
       put_nan(copy);
       o.quantize.check = true;
     }},
    {"NotANumberPardoned",
     Severity::kWarning,
     "weights.finite",
     {"row 5, column 7: not quantized"},
     [](const ModelCopy& copy, CheckOptions& o) {
       put_nan(copy);
       o.deep = true;
       o.quantize.on_nonfinite = "skip-module";
     }},
    {"Truncated",
     Severity::kError,
     "weights.files",
     {"file has 4000000", "incomplete download?"},
     [](const ModelCopy& copy, CheckOptions&) { fs::resize_file(copy.model() / "model.safetensors", 4000000); }},
    {"Overlap",
     Severity::kError,
     "weights.files",
     {"overlapping:", "begins at byte", "ends at byte"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.change_header([](Json& header) {
         Json entry = *header.find(kUp);
         const Json::Array at = entry.find("data_offsets")->as_array("offsets");
         entry.set("data_offsets", Json(Json::Array{at[0].as_int("begin") - 2, at[1].as_int("end") - 2}));
         header.set(kUp, entry);
       });
     }},
    {"NoWeights",
     Severity::kError,
     "weights.files",
     {"no model.safetensors and no"},
     [](const ModelCopy& copy, CheckOptions&) { fs::remove(copy.model() / "model.safetensors"); }},
    {"MissingShard",
     Severity::kError,
     "weights.files",
     {"1 of 3 files", "'model-00002-of-00003.safetensors'"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.rewrite([](auto&) {}, kShardBytes);
       fs::remove(copy.model() / "model-00002-of-00003.safetensors");
     }},
    {"IndexDisagrees",
     Severity::kError,
     "weights.files",
     {"should lie in 'model-00003-of", "lies in 'model-0000"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.rewrite([](auto&) {}, kShardBytes);
       const Json index = Json::parse(read_text_file(copy.model() / kIndex), kIndex);
       Json map = *index.find("weight_map");
       map.set("model.embed_tokens.weight", Json("model-00003-of-00003.safetensors"));
       copy.set(kIndex, "weight_map", map.dump());
     }},
    {"BiasWithoutSwitch",
     Severity::kWarning,
     "weights.unused",
     {"1 tensors", "q_proj.bias", "attention_bias"},
     [](const ModelCopy& copy, CheckOptions&) {
       copy.rewrite([](auto& tensors) {
         tensors.push_back({{"model.layers.0.self_attn.q_proj.bias", DType::kF16, {256}}, std::string(512, '\0')});
       });
     }},
    {"GroupTooWide",
     Severity::kError,
     "group-size.too-wide",
     {"1000", "256", "32, 64, 128, 256 or -1"},
     [](const ModelCopy&, CheckOptions& o) { o.quantize.group_size = 1000; }},
    {"GroupRagged",
     Severity::kWarning,
     "group-size.ragged",
     {"256 inputs = 2 x 96 + 64"},
     [](const ModelCopy&, CheckOptions& o) { o.quantize.group_size = 96; }},
    {"WrongHash",
     Severity::kError,
     "weights.sha256",
     {"model.safetensors: SHA-256 is", "the download noted 0123"},
     [](const ModelCopy& copy, CheckOptions& o) {
       o.quantize.model += "/";
       copy.put("model/.cache/huggingface/download/model.safetensors.metadata",
                "commit\n" + repeated("01234567", 8) + "\n1.0\n");
       o.sha256 = true;
     }},
};

TEST(Check, DefectsOfTheDirectory) {
  for (const Row& row : kDirectory) expect_row(row);
}

}  // namespace
}  // namespace hesse
