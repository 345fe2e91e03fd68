#include "model/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/process.h"
#include "base/rng.h"

namespace hesse {
namespace {

constexpr uint64_t kSeed = 11;

Matrix<float> random_matrix(Rng& rng, int64_t rows, int64_t cols) {
  Matrix<float> m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(2 * rng.normal());
  return m;
}

// Every score at once, in float64.
void check_against_plain(const AttentionShape& s, Rng& rng) {
  SCOPED_TRACE(testing::Message() << s.sequences << " x " << s.queries << "/" << s.keys << " heads " << s.heads << "/"
                                  << s.kv_heads << " dim " << s.head_dim << " window " << s.window << " seed "
                                  << kSeed);
  const Matrix<float> q = random_matrix(rng, s.sequences * s.queries, s.heads * s.head_dim);
  const Matrix<float> k = random_matrix(rng, s.sequences * s.keys, s.kv_heads * s.head_dim);
  const Matrix<float> v = random_matrix(rng, s.sequences * s.keys, s.kv_heads * s.head_dim);
  Matrix<float> out(q.rows(), q.cols());
  causal_attention(q.view(), k.view(), v.view(), out.view(), s);
  for (int64_t row = 0; row < q.rows(); ++row) {
    const int64_t sequence = row / s.queries;
    const int64_t end = row % s.queries + s.keys - s.queries + 1;
    const int64_t begin = s.window > 0 ? std::max<int64_t>(0, end - s.window) : 0;
    const int64_t visible = end - begin;
    for (int64_t head = 0; head < s.heads; ++head) {
      const int64_t kv = head / (s.heads / s.kv_heads) * s.head_dim;
      std::vector<double> weight(static_cast<size_t>(visible));
      double max = -INFINITY, sum = 0, largest_value = 0;
      for (int64_t j = 0; j < visible; ++j) {
        double score = 0;
        for (int64_t d = 0; d < s.head_dim; ++d) {
          score += double{q(row, head * s.head_dim + d)} * k(sequence * s.keys + begin + j, kv + d);
        }
        weight[j] = score * s.scale;
        if (s.soft_cap != 0) weight[j] = s.soft_cap * std::tanh(weight[j] / s.soft_cap);
        if (s.key_biases.data != nullptr) weight[j] += s.key_biases(head, begin + j);
        max = std::max(max, weight[j]);
      }
      if (s.sinks != nullptr) sum = std::exp(double{s.sinks[head]} - max);
      for (double& w : weight) sum += (w = std::exp(w - max));
      for (int64_t d = 0; d < s.head_dim; ++d) {
        double expected = 0;
        for (int64_t j = 0; j < visible; ++j) {
          const double value = v(sequence * s.keys + begin + j, kv + d);
          expected += weight[j] / sum * value;
          largest_value = std::max(largest_value, std::abs(value));
        }
        // A score has an error of about (dim + 2) eps |q||k| scale, which a weight inherits relative to itself; |q||k|
        // is below 4 * 16 * dim here. Summing the values adds as many roundings as there are keys.
        const double score_error = 0x1p-23 * static_cast<double>(s.head_dim + 2) * 64 * std::sqrt(s.head_dim);
        const double tolerance = largest_value * (score_error + 0x1p-23 * static_cast<double>(visible + 8));
        ASSERT_NEAR(out(row, head * s.head_dim + d), expected, tolerance) << "row " << row << " head " << head;
      }
    }
  }
}

TEST(Attention, EqualsThePlainFormulaOverAwkwardSizes) {
  Rng rng(kSeed);
  for (const int64_t length : {1, 2, 63, 64, 65, 128, 129, 200}) {
    check_against_plain({1, length, length, 2, 1, 16, 0.25f}, rng);
  }
  check_against_plain({3, 70, 70, 6, 2, 8, 0.35f}, rng);
  check_against_plain({2, 33, 33, 4, 4, 20, 0.22f}, rng);
}

TEST(Attention, QueriesBehindACacheSeeAllEarlierKeys) {
  Rng rng(kSeed);
  check_against_plain({1, 1, 300, 4, 2, 32, 0.18f}, rng);
  check_against_plain({1, 5, 130, 4, 2, 32, 0.18f}, rng);
}

// Windows of one key, around the sizes of the tiles, and longer than the sequence.
TEST(Attention, AWindowHidesEarlierKeys) {
  Rng rng(kSeed);
  for (const int64_t window : {1, 2, 63, 64, 65, 127, 128, 129, 192, 300}) {
    for (const int64_t length : {1, 64, 65, 290})
      check_against_plain({1, length, length, 2, 1, 16, 0.25f, window}, rng);
    check_against_plain({1, 1, 300, 2, 1, 16, 0.25f, window}, rng);
    check_against_plain({1, 70, 300, 2, 1, 16, 0.25f, window}, rng);
  }
  check_against_plain({3, 100, 100, 6, 2, 8, 0.35f, 40}, rng);
}

// The cap comes before the biases, whose columns are the keys of the sequence.
TEST(Attention, CapsScoresAndAddsBiasesOfKeys) {
  Rng rng(kSeed);
  const Matrix<float> biases = random_matrix(rng, 2, 300);
  for (const float cap : {0.0f, 2.0f}) {
    AttentionShape shape{1, 200, 200, 2, 1, 16, 0.25f};
    shape.soft_cap = cap;
    check_against_plain(shape, rng);
    shape.key_biases = biases.view();
    check_against_plain(shape, rng);
    shape.window = 70;
    check_against_plain(shape, rng);
    shape = {1, 5, 300, 2, 1, 16, 0.25f};
    shape.soft_cap = cap;
    shape.key_biases = biases.view();
    check_against_plain(shape, rng);
  }
}

// A key outside of the window cannot be seen at all, be its score ever so large.
// A sink takes its share of the softmax and gives nothing: one far below all scores changes nothing, one far above them
// takes all.
TEST(Attention, SinksTakeTheirShare) {
  Rng rng(kSeed);
  const std::vector<float> sinks = {-60, 0, 1.5f, 4};
  for (const int64_t window : {0, 5}) {
    for (const int64_t keys : {1, 63, 64, 65, 130}) {
      check_against_plain({.sequences = 2,
                           .queries = keys,
                           .keys = keys,
                           .heads = 4,
                           .kv_heads = 2,
                           .head_dim = 8,
                           .scale = 0.3f,
                           .window = window,
                           .sinks = sinks.data()},
                          rng);
    }
  }
}

TEST(Attention, KeysBehindTheWindowDoNotMatter) {
  Rng rng(kSeed);
  const AttentionShape shape{1, 300, 300, 1, 1, 8, 1.0f, 50};
  const Matrix<float> q = random_matrix(rng, 300, 8);
  Matrix<float> k = random_matrix(rng, 300, 8);
  Matrix<float> v = random_matrix(rng, 300, 8);
  Matrix<float> before(300, 8), after(300, 8);
  causal_attention(q.view(), k.view(), v.view(), before.view(), shape);
  for (int64_t d = 0; d < 8; ++d) k(100, d) *= 1e6f, v(100, d) *= 1e6f;
  causal_attention(q.view(), k.view(), v.view(), after.view(), shape);
  int changed = 0;
  for (int64_t row = 0; row < 300; ++row) {
    const bool sees = row >= 100 && row < 150;
    bool same = true;
    for (int64_t d = 0; d < 8; ++d) same = same && before(row, d) == after(row, d);
    ASSERT_TRUE(same || sees) << row;
    changed += same ? 0 : 1;
  }
  EXPECT_GT(changed, 10);  // of the 50 rows that see it, about half have a positive score
}

TEST(Attention, MayWriteOverTheQueries) {
  Rng rng(kSeed);
  const AttentionShape shape{2, 100, 100, 4, 2, 16, 0.25f};
  Matrix<float> q = random_matrix(rng, 200, 64);
  const Matrix<float> k = random_matrix(rng, 200, 32);
  const Matrix<float> v = random_matrix(rng, 200, 32);
  Matrix<float> out(200, 64);
  causal_attention(q.view(), k.view(), v.view(), out.view(), shape);
  causal_attention(q.view(), k.view(), v.view(), q.view(), shape);
  for (int64_t i = 0; i < out.size(); ++i) ASSERT_EQ(out.data()[i], q.data()[i]);
}

// All scores of 16,384 tokens at once would take 1 GiB.
TEST(Attention, MemoryDoesNotGrowWithTheSquareOfTheLength) {
  Rng rng(kSeed);
  const int64_t length = 16384;
  const Matrix<float> q = random_matrix(rng, length, 8);
  const Matrix<float> k = random_matrix(rng, length, 8);
  const Matrix<float> v = random_matrix(rng, length, 8);
  Matrix<float> out = Matrix<float>::zeros(length, 8);
  const int64_t before = peak_resident_bytes();
  causal_attention(q.view(), k.view(), v.view(), out.view(), {1, length, length, 1, 1, 8, 0.35f});
  EXPECT_LT(peak_resident_bytes() - before, int64_t{64} << 20);
}

}  // namespace
}  // namespace hesse
