#include "model/attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/compute_row.h"
#include "kernels/kernels.h"

namespace hesse {
namespace {

constexpr int64_t kQueryTile = 64;
constexpr int64_t kKeyTile = 128;

// Keys and values of one key/value head of one sequence, laid out as the tiles are read: of each tile of keys first
// scale * K^T [head_dim, kKeyTile], then V [kKeyTile, head_dim]. Packed once, read by every head and every tile of
// queries. With keys as they lie, rows of 4096 bytes would fall on the same lines of the cache.
class PackedHeads {
 public:
  PackedHeads(MatrixView<const float> k, MatrixView<const float> v, const AttentionShape& shape)
      : shape_(shape),
        tiles_(ceil_div(shape.keys, kKeyTile)),
        data_(shape.sequences * shape.kv_heads * tiles_, 2 * kKeyTile * shape.head_dim) {
    parallel_for(data_.rows(), [&](int64_t task) {
      const int64_t begin = task % tiles_ * kKeyTile;
      const int64_t head = task / tiles_ % shape.kv_heads;
      const int64_t row = task / tiles_ / shape.kv_heads * shape.keys + begin;
      const int64_t count = std::min(kKeyTile, shape.keys - begin);
      pack(k.block(row, head * shape.head_dim, count, shape.head_dim),
           v.block(row, head * shape.head_dim, count, shape.head_dim), data_.row(task));
    });
  }
  // The tile of keys [tile * kKeyTile, ...).
  const float* keys(int64_t sequence, int64_t head, int64_t tile) const {
    return data_.row((sequence * shape_.kv_heads + head) * tiles_ + tile);
  }
  const float* values(int64_t sequence, int64_t head, int64_t tile) const {
    return keys(sequence, head, tile) + kKeyTile * shape_.head_dim;
  }

 private:
  void pack(MatrixView<const float> k, MatrixView<const float> v, float* to) const {
    for (int64_t j = 0; j < k.rows; ++j) {
      const float* key = k.row(j);
      for (int64_t d = 0; d < shape_.head_dim; ++d) to[d * kKeyTile + j] = shape_.scale * key[d];
      std::copy_n(v.row(j), shape_.head_dim, to + (kKeyTile + j) * shape_.head_dim);
    }
  }

  const AttentionShape& shape_;
  int64_t tiles_;
  Matrix<float> data_;  // a row for each tile
};

// One tile of queries of one head against the keys that it may see.
class QueryTile {
 public:
  QueryTile(MatrixView<const float> q, const AttentionShape& shape, int64_t first_query, int64_t head)
      : q_(q),
        shape_(shape),
        key_biases_(shape.key_biases.data == nullptr ? nullptr : shape.key_biases.row(head)),
        first_(first_query),
        sum_(q.rows, shape.head_dim),
        max_(static_cast<size_t>(q.rows), -std::numeric_limits<float>::infinity()),
        denominator_(static_cast<size_t>(q.rows), 0.0f) {
    if (shape.sinks == nullptr) return;
    // As if it had been the first key of all, with a value of zeros.
    std::fill(max_.begin(), max_.end(), shape.sinks[head]);
    std::fill(denominator_.begin(), denominator_.end(), 1.0f);
  }

  void run(const PackedHeads& packed, int64_t sequence, int64_t kv_head, ComputeView out) {
    Matrix<float> scores(q_.rows, kKeyTile);
    const int64_t first_tile = first_key(0) / kKeyTile;
    const int64_t end = last_key(q_.rows - 1) + 1;
    for (int64_t tile = first_tile; tile * kKeyTile < end; ++tile) {
      const int64_t begin = tile * kKeyTile;
      const int64_t count = std::min(kKeyTile, end - begin);
      const bool summed = tile > first_tile;
      gemm_tile(q_.data, q_.stride, packed.keys(sequence, kv_head, tile), kKeyTile, scores.data(), kKeyTile, q_.rows,
                count, shape_.head_dim, 0);
      shape_scores(scores, begin, count);
      for (int64_t row = 0; row < q_.rows; ++row) take_scores(row, begin, count, scores.row(row), summed);
      gemm_tile(scores.data(), kKeyTile, packed.values(sequence, kv_head, tile), shape_.head_dim, sum_.data(),
                shape_.head_dim, q_.rows, shape_.head_dim, count, summed ? 1 : 0);
    }
    for (int64_t row = 0; row < q_.rows; ++row) {
      scale(sum_.row(row), 1.0f / denominator_[static_cast<size_t>(row)], shape_.head_dim);
      store_row(sum_.row(row), out, row);
    }
  }

 private:
  // The keys that the query in row `row` sees.
  int64_t last_key(int64_t row) const { return first_ + row + shape_.keys - shape_.queries; }
  int64_t first_key(int64_t row) const {
    return (shape_.window == 0) ? 0 : std::max<int64_t>(0, last_key(row) + 1 - shape_.window);
  }

  void shape_scores(Matrix<float>& scores, int64_t begin, int64_t count) const {
    if (shape_.soft_cap == 0 && key_biases_ == nullptr) return;
    for (int64_t row = 0; row < q_.rows; ++row) {
      if (shape_.soft_cap != 0) soft_cap(scores.row(row), shape_.soft_cap, count);
      if (key_biases_ != nullptr) add(scores.row(row), key_biases_ + begin, count);
    }
  }

  // Scores become weights relative to the maximum so far; what was summed before, if anything, shrinks accordingly.
  void take_scores(int64_t row, int64_t begin, int64_t count, float* scores, bool summed) {
    constexpr float kMasked = -std::numeric_limits<float>::infinity();
    const int64_t from = std::clamp<int64_t>(first_key(row) - begin, 0, count);
    const int64_t to = std::clamp<int64_t>(last_key(row) + 1 - begin, 0, count);
    std::fill(scores, scores + from, kMasked);
    std::fill(scores + to, scores + count, kMasked);
    float& max = max_[static_cast<size_t>(row)];
    const float shrink = softmax_tile(scores, count, &max, &denominator_[static_cast<size_t>(row)]);
    if (summed && shrink != 1.0f) scale(sum_.row(row), shrink, shape_.head_dim);
  }

  MatrixView<const float> q_;
  const AttentionShape& shape_;
  const float* key_biases_;  // [keys], or null
  int64_t first_;
  Matrix<float> sum_;  // [queries, head_dim] weights times values, not yet divided
  std::vector<float> max_, denominator_;
};

}  // namespace

void causal_attention(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v, ComputeView out,
                      const AttentionShape& shape) {
  const int64_t tiles = ceil_div(shape.queries, kQueryTile);
  const int64_t share = shape.heads / shape.kv_heads;
  const PackedHeads packed(k, v, shape);
  parallel_for(shape.sequences * shape.heads * tiles, [&](int64_t task) {
    // Long tiles first: the last ones to finish are then short.
    const int64_t tile = tiles - 1 - task / (shape.sequences * shape.heads);
    const int64_t sequence = task % (shape.sequences * shape.heads) / shape.heads;
    const int64_t head = task % shape.heads;
    const int64_t first = tile * kQueryTile;
    const int64_t rows = std::min(kQueryTile, shape.queries - first);
    const int64_t row = sequence * shape.queries + first;
    const int64_t column = head * shape.head_dim;
    QueryTile(q.block(row, column, rows, shape.head_dim), shape, first, head)
        .run(packed, sequence, head / share, out.block(row, column, rows, shape.head_dim));
  });
}

}  // namespace hesse
