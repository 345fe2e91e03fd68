#include "api/rate_meter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "base/process.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "kernels/kernels.h"
#include "linalg/factor.h"
#include "linalg/gemm.h"
#include "plan/work.h"

namespace hesse {
namespace {

constexpr double kWarmUp = 0.12;     // seconds
constexpr int64_t kPiece = 1 << 16;  // floats that a task reads or writes

double real(int64_t value) { return static_cast<double>(value); }

// Calls body(first, count) in parallel for pieces of `count` floats.
template <class Body>
void for_each_piece(int64_t count, Body body) {
  parallel_for(ceil_div(count, kPiece), [&](int64_t p) { body(p * kPiece, std::min(kPiece, count - p * kPiece)); });
}

Matrix<float> filled(int64_t rows, int64_t cols) {
  Matrix<float> m(rows, cols);
  for_each_piece(m.size(), [&](int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) m.data()[i] = static_cast<float>(i * 7 % 1013) / 1013 - 0.5f;
  });
  return m;
}

}  // namespace

Matrix<float> random_activations(int64_t rows, int64_t cols, uint64_t seed) {
  Matrix<float> x(rows, cols);
  std::vector<float> sizes(static_cast<size_t>(cols));
  Rng rng(seed);
  for (float& size : sizes) size = static_cast<float>(std::exp(0.5 * rng.normal()));
  parallel_for(rows, [&](int64_t r) {
    Rng row(seed + 1 + static_cast<uint64_t>(r));
    float before = 0;
    for (int64_t c = 0; c < cols; ++c) {
      before = 0.5f * before + static_cast<float>(row.uniform() + row.uniform() - 1);
      x(r, c) = sizes[static_cast<size_t>(c)] * before;
    }
  });
  return x;
}

double RateMeter::seconds_of(const std::function<void()>& body) const {
  const bool quick = care_ == Care::kQuick;
  const double enough = quick ? 0.016 : 0.25;
  const int least = quick ? 1 : 2;
  const int most = quick ? 3 : 8;
  double best = 0;
  const Stopwatch all;
  for (int run = 0; run < most && (run < least || all.seconds() < enough); ++run) {
    const Stopwatch watch;
    body();
    const double seconds = watch.seconds();
    if (run == 0 || seconds < best) best = seconds;
  }
  return std::max(best, 1e-9);
}

void RateMeter::warm_up() const {
  const Matrix<float> x = filled(512, 256), w = filled(256, 256);
  Matrix<float> y(512, 256);
  for (const Stopwatch watch; watch.seconds() < kWarmUp;) gemm_nt(x.view(), w.view(), y.view(), Output::kSet);
}

double RateMeter::gemm(int64_t rows, int64_t out, int64_t in) const {
  const Matrix<float> x = filled(rows, in), w = filled(out, in);
  Matrix<float> y(rows, out);
  return 2 * real(rows * out) * real(in) / seconds_of([&] { gemm_nt(x.view(), w.view(), y.view(), Output::kSet); });
}

double RateMeter::gram(int64_t rows, int64_t in) const {
  const Matrix<float> x = filled(rows, in);
  Matrix<double> h = Matrix<double>::zeros(in, in);
  return real(rows) * real(in * in) / seconds_of([&] { add_gram(x.view(), h.view()); });
}

double RateMeter::cross(int64_t rows, int64_t out, int64_t in) const {
  const Matrix<float> y = filled(rows, out), x = filled(rows, in);
  Matrix<double> c = Matrix<double>::zeros(out, in);
  return 2 * real(rows) * real(out * in) / seconds_of([&] { add_product_tn(y.view(), x.view(), c.view()); });
}

double RateMeter::attention(const AttentionShape& shape) const {
  const int64_t rows = shape.sequences * shape.queries;
  const Matrix<float> q = filled(rows, shape.heads * shape.head_dim);
  const Matrix<float> k = filled(rows, shape.kv_heads * shape.head_dim), v = k.clone();
  Matrix<float> out(rows, q.cols());
  const double flops =
      4 * real(shape.sequences * shape.heads * shape.head_dim) * attention_pairs(shape.queries, shape.window);
  return flops / seconds_of([&] { causal_attention(q.view(), k.view(), v.view(), out.view(), shape); });
}

double RateMeter::factor(int64_t n) const {
  Matrix<double> h(n, n);
  const auto fill = [&] {
    parallel_for(n, [&](int64_t r) {
      for (int64_t c = 0; c < n; ++c) h(r, c) = r == c ? 2.0 : 1.0 / (1.0 + real(std::abs(r - c)));
    });
  };
  fill();
  const double both = seconds_of([&] {
    fill();
    factor_upper(h.view());
  });
  return real(n * n) * real(n) / 3 / std::max(1e-9, both - seconds_of(fill));
}

double RateMeter::memory_read(int64_t bytes) const {
  const Matrix<float> x = filled(1, bytes / 4);
  return real(bytes) / seconds_of([&] {
           for_each_piece(x.size(), [&](int64_t first, int64_t count) {
             // NaN alone would fail this; the compiler does not know that there is none.
             if (!(max_abs(x.data() + first, count) >= 0))
               throw Error(ErrorKind::kInternal, "[bench] memory is not itself");
           });
         });
}

double RateMeter::memory_copy(int64_t bytes) const {
  const Matrix<float> from = filled(1, bytes / 4);
  Matrix<float> to = from.clone();
  return 2 * real(bytes) / seconds_of([&] {
           for_each_piece(from.size(), [&](int64_t first, int64_t count) {
             std::memcpy(to.data() + first, from.data() + first, static_cast<size_t>(count) * sizeof(float));
           });
         });
}

double RateMeter::memory_fresh(int64_t bytes) const {
  return real(bytes) / seconds_of([&] {
           Matrix<float> to(1, bytes / 4);
           for_each_piece(to.size(),
                          [&](int64_t first, int64_t count) { std::fill_n(to.data() + first, count, 1.0f); });
         });
}

double RateMeter::hash() const {
  const std::vector<float> bytes(care_ == Care::kQuick ? 1 << 17 : 1 << 20, 1.0f);
  const size_t size = bytes.size() * sizeof(float);
  return static_cast<double>(size) / seconds_of([&] { Sha256().update(bytes.data(), size); });
}

}  // namespace hesse
