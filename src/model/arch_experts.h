// What differs between families with experts, as data: a part of their rows in THE TABLE (arch.h).
#pragma once

#include <cstdint>
#include <string_view>

namespace hesse {

// A token's scores for all experts, from the outputs of the router. The largest choose, and are the weights.
enum class RouterScores {
  kSoftmax,
  kSigmoid,
};

// Which layers have experts; the others have a plain MLP. Keys of config.json; empty: the rule does not apply.
struct SparseLayers {
  std::string_view dense_key = {};  // a list of layers without
  std::string_view step_key = {};   // the last of so many layers has them, the others do not; missing: all have
  std::string_view first_key = {};  // from this layer on
  int64_t first = 0;                // when that key is missing
};

// Files in which the experts of a layer lie as one tensor for gate and up and one for down, [experts, in, out] or
// [experts, out, in], and beside them the biases of all, "..._bias" [experts, out]. In MXFP4 (mxfp4.h) they are
// "..._blocks" and "..._scales".
struct PackedExpertsRule {
  std::string_view gate_up = {}, down = {};  // tensors relative to the layer's prefix; empty: there are no such files
  bool take_turns = false;                   // outputs of gate and up take turns; else all of gate come first
  bool always = false;                       // loaders of the model itself know no others
};

// Names are modules relative to the layer's prefix; "{}" in `expert` stands for the number of the expert. Those of its
// linears are relative to `expert`, and to `shared`, the expert that every token goes through.
struct ExpertsRule {
  std::string_view router = {};  // empty: the family has no experts
  std::string_view expert = {};
  std::string_view gate = {}, up = {}, down = {};
  bool router_bias = false;
  bool biases = false;                // of the linears of an expert; those of the shared one as of an MLP
  PackedExpertsRule packed = {};      // what a file may have in place of `expert`
  std::string_view choice_bias = {};  // a tensor: added to the scores that choose, not to those that weigh

  std::string_view count_key = {};
  std::string_view older_count_key = {};  // where the file has it and not the other
  int64_t per_token = 0;                  // when 'num_experts_per_tok' is missing
  std::string_view width_key = {};        // outputs of gate and up
  SparseLayers layers = {};

  RouterScores scores = RouterScores::kSoftmax;
  std::string_view normalised_key = {};  // a flag: the weights of a token sum to 1; empty: `normalised`
  bool normalised = false;               // when the key is missing
  std::string_view scale_key = {};       // of the weights
  double scale = 1;                      // when the key is missing
  // Experts in groups of equal size, of which the best are kept: `groups_key` and `kept_key`, null or missing: one.
  std::string_view groups_key = {}, kept_key = {};
  int64_t groups = 1, kept = 1;          // when the keys are missing
  std::string_view method_key = {};      // a text; groups only where it is `grouped_method`. Empty: always
  std::string_view grouped_method = {};  //
  int64_t group_best = 1;                // so many of the largest scores of a group are summed to compare it

  std::string_view shared = {};            // empty: none
  std::string_view shared_gate = {};       // a linear to one number, whose sigmoid its output is multiplied by
  std::string_view shared_width_key = {};  // outputs of its gate and up
  std::string_view shared_count_key = {};  // or how many times as wide as an expert it is; 0 or null: there is none
  int64_t shared_count = 0;                // when that key is missing
};

}  // namespace hesse
