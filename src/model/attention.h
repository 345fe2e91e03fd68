// Causal attention with shared key/value heads, in tiles: memory grows with the length, never with its square.
#pragma once

#include <cstdint>

#include "base/compute_matrix.h"
#include "base/matrix.h"

namespace hesse {

struct AttentionShape {
  int64_t sequences = 1;
  int64_t queries = 0;  // of one sequence
  int64_t keys = 0;     // of one sequence, >= queries; query i sees the keys up to i + keys - queries
  int64_t heads = 0;
  int64_t kv_heads = 0;  // query head a reads key/value head a / (heads / kv_heads)
  int64_t head_dim = 0;
  float scale = 1;               // of the scores before the softmax
  int64_t window = 0;            // the keys that a query sees at most: the last ones, its own included; 0: all
  float soft_cap = 0;            // scaled scores become cap * tanh(score / cap); 0: they stay
  const float* sinks = nullptr;  // [heads] each a score of the softmax that no key has and that adds no value; or null
  MatrixView<const float> key_biases = {};  // [heads, keys] added to the scores of a key; without data: none
};

// q, out [sequences * queries, heads * head_dim]; k, v [sequences * keys, kv_heads * head_dim]. out may be q, or
// of bfloat16.
// softmax over the scores as they come (Milakov and Gimelshein 2018; Dao et al. 2022); tiles of keys that no query of a
// tile sees, above the diagonal or behind the window, are skipped.
void causal_attention(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v, ComputeView out,
                      const AttentionShape& shape);

}  // namespace hesse
