#include "model/attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/kernels.h"

namespace hesse {
namespace {

constexpr int64_t kQueryTile = 64;
constexpr int64_t kKeyTile = 128;

// One tile of queries of one head against the keys that it may see.
class QueryTile {
 public:
  QueryTile(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v,
            const AttentionShape& shape, int64_t first_query)
      : q_(q),
        k_(k),
        v_(v),
        shape_(shape),
        first_(first_query),
        sum_(q.rows, shape.head_dim),
        max_(static_cast<size_t>(q.rows), -std::numeric_limits<float>::infinity()),
        denominator_(static_cast<size_t>(q.rows), 0.0f) {}

  void run(MatrixView<float> out) {
    Matrix<float> keys(shape_.head_dim, kKeyTile);  // transposed: keys side by side
    Matrix<float> scores(q_.rows, kKeyTile);
    const int64_t start = first_key(0);
    const int64_t end = last_key(q_.rows - 1) + 1;
    for (int64_t begin = start; begin < end; begin += kKeyTile) {
      const int64_t count = std::min(kKeyTile, end - begin);
      for (int64_t j = 0; j < count; ++j) {
        const float* key = k_.row(begin + j);
        for (int64_t d = 0; d < shape_.head_dim; ++d) keys(d, j) = key[d];
      }
      gemm_tile(q_.data, q_.stride, keys.data(), kKeyTile, scores.data(), kKeyTile, q_.rows, count, shape_.head_dim, 0);
      for (int64_t row = 0; row < q_.rows; ++row) take_scores(row, begin, count, scores.row(row), begin > start);
      gemm_tile(scores.data(), kKeyTile, v_.row(begin), v_.stride, sum_.data(), shape_.head_dim, q_.rows,
                shape_.head_dim, count, begin > start ? 1 : 0);
    }
    for (int64_t row = 0; row < q_.rows; ++row) {
      std::copy_n(sum_.row(row), shape_.head_dim, out.row(row));
      scale(out.row(row), 1.0f / denominator_[static_cast<size_t>(row)], shape_.head_dim);
    }
  }

 private:
  // The keys that the query in row `row` sees.
  int64_t last_key(int64_t row) const { return first_ + row + shape_.keys - shape_.queries; }
  int64_t first_key(int64_t row) const {
    return (shape_.window == 0) ? 0 : std::max<int64_t>(0, last_key(row) + 1 - shape_.window);
  }

  // Scores become weights relative to the maximum so far; what was summed before, if anything, shrinks accordingly.
  void take_scores(int64_t row, int64_t begin, int64_t count, float* scores, bool summed) {
    constexpr float kMasked = -std::numeric_limits<float>::infinity();
    scale(scores, shape_.scale, count);
    const int64_t from = std::clamp<int64_t>(first_key(row) - begin, 0, count);
    const int64_t to = std::clamp<int64_t>(last_key(row) + 1 - begin, 0, count);
    std::fill(scores, scores + from, kMasked);
    std::fill(scores + to, scores + count, kMasked);
    float& max = max_[static_cast<size_t>(row)];
    const float shrink = softmax_tile(scores, count, &max, &denominator_[static_cast<size_t>(row)]);
    if (summed && shrink != 1.0f) scale(sum_.row(row), shrink, shape_.head_dim);
  }

  MatrixView<const float> q_, k_, v_;
  const AttentionShape& shape_;
  int64_t first_;
  Matrix<float> sum_;  // [queries, head_dim] weights times values, not yet divided
  std::vector<float> max_, denominator_;
};

}  // namespace

void causal_attention(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v,
                      MatrixView<float> out, const AttentionShape& shape) {
  const int64_t tiles = ceil_div(shape.queries, kQueryTile);
  const int64_t share = shape.heads / shape.kv_heads;
  parallel_for(shape.sequences * shape.heads * tiles, [&](int64_t task) {
    // Long tiles first: the last ones to finish are then short.
    const int64_t tile = tiles - 1 - task / (shape.sequences * shape.heads);
    const int64_t sequence = task % (shape.sequences * shape.heads) / shape.heads;
    const int64_t head = task % shape.heads;
    const int64_t first = tile * kQueryTile;
    const int64_t rows = std::min(kQueryTile, shape.queries - first);
    const int64_t row = sequence * shape.queries + first;
    const int64_t column = head * shape.head_dim;
    const int64_t kv_column = head / share * shape.head_dim;
    QueryTile(q.block(row, column, rows, shape.head_dim),
              k.block(sequence * shape.keys, kv_column, shape.keys, shape.head_dim),
              v.block(sequence * shape.keys, kv_column, shape.keys, shape.head_dim), shape, first)
        .run(out.block(row, column, rows, shape.head_dim));
  });
}

}  // namespace hesse
