// Speed of causal attention, all threads. FLOP/s count the pairs of query and key that see each other, not the square:
// 4 head_dim operations a pair and head.
#include <algorithm>
#include <cmath>
#include <vector>

#include "bench.h"
#include "model/attention.h"

namespace hesse {
namespace {

constexpr int64_t kTokens = 2048;  // in all: 512 tokens are four sequences

double visible_pairs(const AttentionShape& shape) {
  double pairs = 0;
  for (int64_t i = 0; i < shape.queries; ++i) {
    const int64_t seen = i + 1;
    pairs += static_cast<double>(shape.window == 0 ? seen : std::min(seen, shape.window));
  }
  return pairs * static_cast<double>(shape.sequences);
}

// What the last query of the last sequence makes of its last head, first channel.
double expected(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v,
                const AttentionShape& shape) {
  const int64_t row = q.rows - 1, head = (shape.heads - 1) * shape.head_dim;
  const int64_t shared = (shape.kv_heads - 1) * shape.head_dim;
  const int64_t seen = shape.window == 0 ? shape.keys : std::min(shape.keys, shape.window);
  double sum = 0, total = 0;
  for (int64_t key = k.rows - seen; key < k.rows; ++key) {
    double score = 0;
    for (int64_t d = 0; d < shape.head_dim; ++d) score += double{q(row, head + d)} * double{k(key, shared + d)};
    const double weight = std::exp(score * double{shape.scale});
    sum += weight * double{v(key, shared)};
    total += weight;
  }
  return sum / total;
}

// Arguments: tokens of a sequence, heads, kv_heads, head_dim, window.
void BM_attention(benchmark::State& state) {
  AttentionShape shape;
  shape.queries = shape.keys = state.range(0);
  shape.sequences = kTokens / shape.queries;
  shape.heads = state.range(1);
  shape.kv_heads = state.range(2);
  shape.head_dim = state.range(3);
  shape.window = state.range(4);
  shape.scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
  const Matrix<float> q = random_matrix(kTokens, shape.heads * shape.head_dim, 1);
  const Matrix<float> k = random_matrix(kTokens, shape.kv_heads * shape.head_dim, 2);
  const Matrix<float> v = random_matrix(kTokens, shape.kv_heads * shape.head_dim, 3);
  Matrix<float> out = Matrix<float>::zeros(q.rows(), q.cols());
  for (auto _ : state) {
    causal_attention(q.view(), k.view(), v.view(), out.view(), shape);
    benchmark::ClobberMemory();
  }
  const double exact = expected(q.view(), k.view(), v.view(), shape);
  const double value = out(kTokens - 1, (shape.heads - 1) * shape.head_dim);
  if (!(std::abs(value - exact) <= 1e-4)) return state.SkipWithError("wrong attention");
  report_flops(state, 4.0 * visible_pairs(shape) * static_cast<double>(shape.heads * shape.head_dim));
}

void shapes(benchmark::internal::Benchmark* b) {
  for (const int64_t tokens : {512, 2048}) {
    b->Args({tokens, 9, 3, 64, 0});   // SmolLM2-135M
    b->Args({tokens, 32, 8, 64, 0});  // Llama-3.2-1B
    b->Args({tokens, 9, 3, 128, 0});
    b->Args({tokens, 32, 8, 128, 0});    // Llama-3-8B
    b->Args({tokens, 32, 8, 128, 256});  // a sliding window
  }
}

BENCHMARK(BM_attention)
    ->ArgNames({"tokens", "heads", "kv_heads", "head_dim", "window"})
    ->Apply(shapes)
    ->Apply(all_threads);

}  // namespace
}  // namespace hesse

int main(int argc, char** argv) { return hesse::run_benchmarks(argc, argv); }
