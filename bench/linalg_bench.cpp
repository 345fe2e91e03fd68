// Speed of the matrix products and of the factor, all threads, at the widths of real models. FLOP/s count what must be
// computed: of a symmetric matrix one half. The best gemm_nt is what everything else may be compared with.
#include <cmath>

#include "bench.h"
#include "linalg/factor.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

constexpr int64_t kTokens = 2048;  // rows that a layer runs at a time

// Hidden and intermediate widths: SmolLM2-135M, Qwen2-0.5B, Llama-7B.
constexpr int64_t kWidths[][2] = {{576, 1536}, {896, 4864}, {4096, 11008}};

double dot_rows(MatrixView<const float> a, int64_t i, MatrixView<const float> b, int64_t j) {
  double sum = 0;
  for (int64_t k = 0; k < a.cols; ++k) sum += double{a(i, k)} * double{b(j, k)};
  return sum;
}

double dot_columns(MatrixView<const float> a, int64_t i, MatrixView<const float> b, int64_t j) {
  double sum = 0;
  for (int64_t k = 0; k < a.rows; ++k) sum += double{a(k, i)} * double{b(k, j)};
  return sum;
}

// Sums of `count` products of standard normal numbers in float32: their size is about sqrt(count).
bool agrees(double value, double exact, int64_t count) {
  const double n = static_cast<double>(count);
  return std::abs(value - exact) <= n * 1.2e-7 * std::sqrt(n);
}

// Arguments in, out: a linear over kTokens tokens.
void BM_gemm_nt(benchmark::State& state) {
  const int64_t in = state.range(0), out = state.range(1);
  const Matrix<float> x = random_matrix(kTokens, in), weight = random_matrix(out, in, 2);
  Matrix<float> y = Matrix<float>::zeros(kTokens, out);
  for (auto _ : state) {
    gemm_nt(x.view(), weight.view(), y.view(), Output::kSet);
    benchmark::ClobberMemory();
  }
  const double exact = dot_rows(x.view(), kTokens - 1, weight.view(), out - 1);
  if (!agrees(y(kTokens - 1, out - 1), exact, in)) return state.SkipWithError("wrong product");
  report_flops(state, 2.0 * static_cast<double>(kTokens * in * out));
}

// Argument in. Counts in^2 tokens: half of the square.
void BM_add_gram(benchmark::State& state) {
  const int64_t in = state.range(0);
  const Matrix<float> x = random_matrix(kTokens, in);
  Matrix<double> h = Matrix<double>::zeros(in, in);
  for (auto _ : state) {
    add_gram(x.view(), h.view());
    benchmark::ClobberMemory();
  }
  const double exact = static_cast<double>(state.iterations()) * dot_columns(x.view(), in - 1, x.view(), 0);
  if (!agrees(h(in - 1, 0), exact, kTokens * state.iterations())) return state.SkipWithError("wrong sum");
  report_flops(state, static_cast<double>(in * in * kTokens));
}

// Arguments m, n: in x in where linears share their drift, out x in where it is summed for one linear.
void BM_add_product_tn(benchmark::State& state) {
  const int64_t m = state.range(0), n = state.range(1);
  const Matrix<float> x = random_matrix(kTokens, m), y = random_matrix(kTokens, n, 2);
  Matrix<double> c = Matrix<double>::zeros(m, n);
  for (auto _ : state) {
    add_product_tn(x.view(), y.view(), c.view());
    benchmark::ClobberMemory();
  }
  const double exact = static_cast<double>(state.iterations()) * dot_columns(x.view(), m - 1, y.view(), 0);
  if (!agrees(c(m - 1, 0), exact, kTokens * state.iterations())) return state.SkipWithError("wrong sum");
  report_flops(state, 2.0 * static_cast<double>(kTokens * m * n));
}

// Argument n. A matrix that is positive definite by its diagonal, without the cost of a Gram matrix.
void BM_factor_upper(benchmark::State& state) {
  const int64_t n = state.range(0);
  const Matrix<float> noise = random_matrix(n, n);
  Matrix<double> h(n, n);
  for (auto _ : state) {
    state.PauseTiming();
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t c = 0; c < n; ++c) h(r, c) = double{noise(r, c)} + (r == c ? 4.0 * static_cast<double>(n) : 0.0);
    }
    state.ResumeTiming();
    if (!factor_upper(h.view()).ok()) return state.SkipWithError("not positive definite");
  }
  // The last column of R has one product in each element: H[0, n-1] = R[0, n-1] R[n-1, n-1].
  const double exact = noise(0, n - 1), value = h(0, n - 1) * h(n - 1, n - 1);
  if (std::abs(value - exact) > 1e-9 * static_cast<double>(n)) return state.SkipWithError("wrong factor");
  report_flops(state, std::pow(static_cast<double>(n), 3) / 3);
}

void gemm_shapes(benchmark::internal::Benchmark* b) {
  for (const auto& [hidden, intermediate] : kWidths) {
    b->Args({hidden, hidden})->Args({hidden, intermediate})->Args({intermediate, hidden});
  }
}

void squares(benchmark::internal::Benchmark* b) {
  for (const auto& [hidden, intermediate] : kWidths) b->Arg(hidden)->Arg(intermediate);
}

void product_shapes(benchmark::internal::Benchmark* b) {
  for (const auto& [hidden, intermediate] : kWidths) b->Args({hidden, hidden})->Args({hidden, intermediate});
}

BENCHMARK(BM_gemm_nt)->ArgNames({"in", "out"})->Apply(gemm_shapes)->Apply(all_threads);
BENCHMARK(BM_add_gram)->ArgName("in")->Apply(squares)->Apply(all_threads);
BENCHMARK(BM_add_product_tn)->ArgNames({"m", "n"})->Apply(product_shapes)->Apply(all_threads);
// 11008 would take 1.5 GB.
BENCHMARK(BM_factor_upper)->ArgName("n")->Arg(576)->Arg(896)->Arg(1536)->Arg(4096)->Arg(4864)->Apply(all_threads);

}  // namespace
}  // namespace hesse

int main(int argc, char** argv) { return hesse::run_benchmarks(argc, argv); }
