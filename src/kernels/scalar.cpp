// The scalar twins: every formula of kernels.h as one plain loop, in double, rounded once on store.
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "kernels/kernels.h"

namespace hesse::scalar {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The largest score that is not NaN, at least `start`.
float max_of(const float* s, int64_t n, float start) {
  float max = start;
  for (int64_t j = 0; j < n; ++j) max = (s[j] > max) ? s[j] : max;
  return max;
}

// x / (1 + exp(-t)), and -0 where x is -infinity.
float times_sigmoid(double x, double t) { return x == -kInfinity ? -0.0f : static_cast<float>(x / (1 + std::exp(-t))); }

constexpr double kTwiceRootOfTwoByPi = 1.5957691216057308;
constexpr double kRootOfHalf = 0.70710678118654752;

// What is subtracted before exp: the maximum, but 0 when it is -inf, since -inf - -inf is NaN.
float shift_for(float max) { return (max == -kInfinity) ? 0.0f : max; }

}  // namespace

void f16_to_f32(const uint16_t* in, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = f16_to_float(in[i]);
}

void bf16_to_f32(const uint16_t* in, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = bf16_to_float(in[i]);
}

void f32_to_bf16(const float* in, uint16_t* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = float_to_bf16(in[i]);
}

void rms_norm(const float* x, const float* weight, float eps, float* out, int64_t n) {
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += double{x[i]} * x[i];
  const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(weight[i] * (x[i] * inverse));
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out, int64_t n) {
  double mean = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) mean += double{x[i]} / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) {
    const double value = (weight == nullptr ? 1.0f : weight[i]) * ((x[i] - mean) * inverse);
    out[i] = static_cast<float>(value + (bias == nullptr ? 0.0f : bias[i]));
  }
}

void silu_mul(float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double x = gate[i];
    const double silu = (gate[i] == -kInfinity) ? -0.0 : x / (1.0 + std::exp(-x));
    gate[i] = static_cast<float>(silu * up[i]);
  }
}

void gelu_tanh_mul(float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double x = gate[i];
    const double gelu =
        (gate[i] == -kInfinity) ? -0.0 : x / (1.0 + std::exp(-kTwiceRootOfTwoByPi * (x + 0.044715 * x * x * x)));
    gate[i] = static_cast<float>(gelu * up[i]);
  }
}

void silu(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = times_sigmoid(x[i], x[i]);
}

void gelu_tanh(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double v = x[i];
    x[i] = times_sigmoid(v, kTwiceRootOfTwoByPi * (v + 0.044715 * v * v * v));
  }
}

void gelu(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double v = x[i];
    x[i] = (x[i] == -kInfinity) ? -0.0f : static_cast<float>(v * 0.5 * std::erfc(-v * kRootOfHalf));
  }
}

void relu(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = (x[i] > 0 || std::isnan(x[i])) ? x[i] : 0.0f;
}

void quick_gelu(float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = times_sigmoid(x[i], 1.702 * x[i]);
}

void soft_cap(float* x, float cap, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(cap * std::tanh(double{x[i]} / cap));
}

void multiply(float* h, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) h[i] *= x[i];
}

void add(float* h, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) h[i] += x[i];
}

void scale(float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

void rope_half(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const double re = x[i], im = x[i + half];
    x[i] = static_cast<float>(re * cos[i] - im * sin[i]);
    x[i + half] = static_cast<float>(im * cos[i] + re * sin[i]);
  }
}

void rope_interleaved(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const double re = x[2 * i], im = x[2 * i + 1];
    x[2 * i] = static_cast<float>(re * cos[i] - im * sin[i]);
    x[2 * i + 1] = static_cast<float>(im * cos[i] + re * sin[i]);
  }
}

void gemm_tile(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m, int64_t n,
               int64_t k, int accumulate) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = (accumulate != 0) ? c[i * ldc + j] : 0.0;
      for (int64_t p = 0; p < k; ++p) sum += double{a[i * lda + p]} * b[p * ldb + j];
      c[i * ldc + j] = static_cast<float>(sum);
    }
  }
}

float softmax_tile(float* s, int64_t n, float* max, float* sum) {
  const float new_max = max_of(s, n, *max);
  const float shift = shift_for(new_max);
  const double factor = std::exp(double{*max} - shift);
  double total = *sum * factor;
  for (int64_t j = 0; j < n; ++j) {
    const double e = std::exp(double{s[j]} - shift);
    s[j] = static_cast<float>(e);
    total += e;
  }
  *sum = static_cast<float>(total);
  *max = new_max;
  return static_cast<float>(factor);
}

float max_abs(const float* x, int64_t n) {
  float max = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (std::isnan(x[i])) return kInfinity;
    max = std::fmax(max, std::fabs(x[i]));
  }
  return max;
}

double log_sum_exp(const float* x, int64_t n) {
  const float max = max_of(x, n, -kInfinity);
  const float shift = shift_for(max);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(double{x[i]} - shift);
  return shift + std::log(sum);
}

double kl_divergence(const float* p, const float* q, int64_t n) {
  const double p_total = log_sum_exp(p, n);
  const double q_total = log_sum_exp(q, n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double log_p = p[i] - p_total;
    if (const double probability = std::exp(log_p); probability != 0) sum += probability * (log_p - (q[i] - q_total));
  }
  return sum;
}

}  // namespace hesse::scalar
