// THE TABLE of architectures: what differs between families, as data. The block in block.cpp reads these switches and
// the names of the tensors from a row; nothing else in the source knows the name of a family.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/arch_experts.h"

namespace hesse {

// A flag of config.json.
struct FlagRule {
  std::string_view key = {};  // empty: always `missing`
  bool missing = false;       // value when the key is missing
};

// A number of config.json.
struct NumberRule {
  std::string_view key = {};  // empty: always `missing`
  double missing = 0;
};

// A key with the name that older files give it.
struct Key {
  std::string_view name = {};
  std::string_view older = {};
};

// What config.json must say for a row or a switch to hold.
struct Condition {
  enum class Kind { kNever, kEquals, kPresent };
  Kind kind = Kind::kNever;
  std::string_view key = {};
  int64_t wanted = 0;   // kEquals; flags are 0 and 1
  int64_t missing = 0;  // kEquals: the value of a key that is missing or null
};

// Which layers see a window of the last keys only. "empty" speaks of keys of config.json.
inline constexpr int64_t kWindowIfGiven = -1;
struct WindowRule {
  int64_t size = 0;                  // when the file has no 'sliding_window'; 0: the family has no windows at all;
                                     // kWindowIfGiven: no window when there is no such key
  std::string_view switch_key = {};  // a flag that turns windows on and is off when missing; empty: they are on
  // The layers with a window, unless the file has a list 'layer_types':
  std::string_view first_key = {};   // from this layer on; empty: from layer 0
  int64_t first = 0;                 // when the key is missing
  std::string_view end_key = {};     // before this layer; empty: to the last
  int64_t end = 0;                   // when the key is missing
  std::string_view period_key = {};  // but not the last of so many layers
  int64_t period = 0;                // when the key is missing or empty; 0: all layers
};

// A second rotation, of the layers with a window.
struct LocalRope {
  std::string_view theta_key = {};  // of config.json; empty: one rotation for all layers
  double theta = 0;                 // when the key is missing
};

enum class NormKind { kRms, kLayer };
struct NormRule {
  NormKind kind = NormKind::kRms;
  std::string_view eps_key = "rms_norm_eps";  // empty: eps is fixed
  double eps = 1e-6;                          // when the key is missing
  float offset = 0;                           // every norm multiplies by this plus its weight
  bool weight = true;                         // false: norms have no tensors at all
  bool bias = false;
};

// How the linears of the attention half lie in the file.
enum class AttentionKind {
  kSplit,    // q, k and v apart
  kConcat,   // one linear: all queries, all keys, all values
  kGrouped,  // one linear: for each key head its query heads, the key, the value
  kLatent,   // through narrow waists: LatentRule
};

// Multi-head latent attention (DeepSeek-AI 2024, arXiv:2405.04434): keys and values come from one narrow row, in which
// a rotated part of the keys stands that all heads share; queries too, where config.json has a 'q_lora_rank', else from
// the linear `q` of the row. Linears, and norms of the waists with an eps of their own.
struct LatentRule {
  std::string_view q_a = {}, q_a_norm = {}, q_b = {};
  std::string_view kv_a = {}, kv_a_norm = {}, kv_b = {};
  std::string_view interleave_key = {};  // a flag, on when missing: pairs (2i, 2i + 1) rotate; empty: they do
};

// The same of the MLP.
enum class MlpKind {
  kGated,       // down(act(gate x) * up x)
  kFusedGated,  // the same with one linear: all of gate, then all of up
  kPlain,       // down(act(up x))
};

// Gates within bounds: with gate = min(gate, limit) and up = clamp(up, -limit, limit), the inputs of down are
// gate * sigmoid(alpha * gate) * (up + 1), whatever the activation is called.
struct ClampRule {
  NumberRule alpha = {};
  NumberRule limit = {};  // 0: the gate is act(gate) * up
};

// Norms of queries and keys, before the rotation.
enum class HeadNormKind {
  kNone,
  kShared,     // each head, all with the same factors
  kRows,       // each head with its row of one tensor [heads, head_dim]
  kModules,    // each head with a tensor of its own: "{}" in the name stands for the head
  kWholeRows,  // all heads together
};

enum class RopeKind { kDefault, kLinear, kDynamic, kYarn, kLongRope, kLlama3 };
enum class RopeStyle { kNone, kHalf, kInterleaved };  // which pairs rotate: (i, i + half) or (2i, 2i + 1)
enum class RopeLayers { kAll, kWindowed, kListed };   // kListed: 'no_rope_layers' says it with 1
enum class AlibiKind { kNone, kFloat32, kBfloat16 };  // in which type biases of scores are computed
enum class Activation { kSilu, kGeluTanh, kGelu, kRelu, kQuickGelu };  // kGelu: by the error function

// In which words a file names the same tensors: what stands in front of all of them, and the head.
struct NameScheme {
  std::string_view prefix;
  std::string_view head;
};

// Names are modules, without ".weight". Those of a layer are relative to `layer_prefix`, where "{}" stands for the
// number of the layer; the others, `layer_prefix` included, are relative to the prefix of the scheme.
struct Family {
  std::string_view name;
  std::vector<std::string_view> model_types;
  std::vector<Condition> when = {};  // all of them; of several rows of a model_type the first that holds is taken
  std::string_view notes = {};       // for people: what is special
  std::string_view tested_with = "transformers 5.23.0";  // which made the references of the row
  std::vector<NameScheme> schemes;                       // the first whose embedding is in the file

  // Names of what lies before and behind the layers.
  std::string_view embedding = "embed_tokens";
  std::string_view layer_prefix = "layers.{}.";
  std::string_view final_norm = "norm";       // empty: none
  std::string_view embedding_norm = {};       // of the embeddings
  std::string_view position_table = {};       // learned positions, added to the embeddings
  std::string_view project_in = {};           // between embedding and layers, where the embedding has another width
  std::string_view project_out = {};          // between layers and head
  int64_t position_offset = 0;                // row of the first position in that table
  std::string_view embedding_width_key = {};  // of config.json; empty or missing: hidden

  // Norms: of what the two halves read, and of what they give. Empty: none.
  NormRule norm = {};
  std::string_view attention_norm = {}, mlp_norm = {};
  std::string_view attention_out_norm = {}, mlp_out_norm = {};
  bool norm_after_add = false;  // the out norms are of the sum with the residual stream, which they replace
  bool parallel = false;        // the MLP reads the stream as attention does; without `mlp_norm` the very same input

  AttentionKind attention = AttentionKind::kSplit;
  std::string_view q = {}, k = {}, v = {}, qkv = {}, o = {};  // linears
  LatentRule latent = {};                                     // kLatent
  std::string_view sinks = {};                                // a tensor: of each head a score that has no value
  HeadNormKind head_norm = HeadNormKind::kNone;
  FlagRule head_norm_switch = {.key = {}, .missing = true};
  NormKind head_norm_kind = NormKind::kRms;
  bool head_norm_bias = false;
  std::string_view q_norm = {}, k_norm = {};

  MlpKind mlp = MlpKind::kGated;
  std::string_view gate = {}, up = {}, gate_up = {}, down = {};  // linears
  Key activation_key = {"hidden_act"};
  std::vector<std::string_view> activations;  // its values that are understood; the first when the key is missing
  bool gelu_is_tanh = false;                  // files say "gelu" and mean the tanh form
  ClampRule clamp = {};
  ExpertsRule experts = {};  // of the layers that have them in place of the MLP

  bool weights_in_out = false;  // linears of the layers lie in the file as [in, out]
  FlagRule qkv_bias = {}, o_bias = {}, mlp_bias = {}, head_bias = {};

  // Positions.
  RopeStyle rope = RopeStyle::kHalf;
  Key rope_theta_key = {"rope_theta"};
  double rope_theta = 10000;                   // when the key is missing
  Key rotary_key = {"partial_rotary_factor"};  // share of a head that rotates
  double rotary_share = 1;                     // when the key is missing
  std::string_view rotary_dim_key = {};        // or the number of elements that rotate
  int64_t rotary_dim = 0;                      // when that key is missing
  bool rope_type_required = false;             // the file must say whether the rotation is stretched
  RopeLayers rope_layers = RopeLayers::kAll;
  std::string_view rope_period_key = {};  // kListed without the list: no rotation in the last of so many layers
  int64_t rope_period = 0;
  LocalRope local_rope = {};
  FlagRule alibi_switch = {};
  AlibiKind alibi = AlibiKind::kNone;  // of a file that switches it on; it then has no rotation
  bool alibi_scaled = false;           // the biases are multiplied by the scale of the scores
  WindowRule windows = {};

  // Factors.
  std::string_view attention_scale_key = {};  // of config.json: scores are divided by its root; empty: by head_dim's
  double attention_scale_base = 0;            // when the key is missing
  NumberRule attention_multiplier = {};       // or scores are multiplied by this, where it is not 0
  NumberRule attention_softcap = {}, logit_softcap = {};  // 0: none
  NumberRule residual_multiplier = {.key = {}, .missing = 1};
  NumberRule embedding_multiplier = {.key = {}, .missing = 1};
  bool scaled_embedding = false;  // embeddings are multiplied by sqrt(hidden)
  NumberRule logit_multiplier = {.key = {}, .missing = 1}, logit_divisor = {.key = {}, .missing = 1};
  Condition normed_head = {};  // the rows of the head are brought to length 1

  std::vector<std::string_view> unsupported = {};  // keys that must be missing, null or false: the block cannot do them
  std::vector<std::string_view> required = {};     // keys that must be missing, null or true

  // Where config.json has the sizes, and what holds when it has none.
  Key hidden_key = {"hidden_size"}, layers_key = {"num_hidden_layers"}, heads_key = {"num_attention_heads"};
  Key kv_heads_key = {"num_key_value_heads"};  // empty: as many as heads
  Key intermediate_key = {"intermediate_size"};
  Key positions_key = {"max_position_embeddings"};
  FlagRule multi_query = {};        // one key head for all, whatever else is said
  int64_t kv_heads = 0;             // 0: as many as heads
  int64_t head_dim = 0;             // 0: hidden / heads
  int64_t intermediate_factor = 0;  // times hidden; 0: the key must be there
  int64_t max_positions = 2048;
  bool tied_head = false;
};

// A model whose language model is one part of it: 'text_config' of its config.json is read as a family's.
struct Wrapper {
  std::string_view model_type;
  std::string_view text_type;       // model_type of the part when 'text_config' does not name it
  std::vector<NameScheme> schemes;  // in place of the family's
};

std::span<const Family> families();
std::span<const Wrapper> wrappers();
const Wrapper* find_wrapper(std::string_view model_type);  // nullptr when unknown

// What rows with Llama's names begin with.
Family named_as_llama(std::string_view name, std::string_view notes);
// Rows of the table, by kind of block; for arch.cpp.
std::vector<Family> llama_like_families();
std::vector<Family> expert_families();
std::vector<Family> gpt_like_families();

}  // namespace hesse
