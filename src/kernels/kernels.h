// The loops that run once per activation. Pointers, lengths, strides; no allocation, I/O, exceptions or threads.
// Each has a scalar twin in namespace hesse::scalar with the same contract: its documentation and its oracle.
// The SIMD versions choose their instruction set at run time (Highway) and may be called by any thread. Unaligned
// pointers are fine; nothing outside of the given elements is read or written. Where "in place" is not written,
// outputs must not overlap inputs. NaN in gives NaN out and is never hidden.
#pragma once

#include <cstdint>

namespace hesse {

// out[i] = value of the half or bfloat16 bits in[i]. Exact, subnormals, infinities and payloads of NaN included.
void f16_to_f32(const uint16_t* in, float* out, int64_t n);
void bf16_to_f32(const uint16_t* in, float* out, int64_t n);

// out[i] = bits of the bfloat16 next to in[i], ties to even; beyond the largest: infinity. NaN stays NaN (quiet, with
// its sign and the upper bits of its payload).
void f32_to_bf16(const float* in, uint16_t* out, int64_t n);

// RMSNorm of one row: out = weight * x / sqrt(mean(x^2) + eps); Zhang and Sennrich 2019. eps > 0. out may be x.
// The mean is taken in double: no overflow, and no error that grows with n.
void rms_norm(const float* x, const float* weight, float eps, float* out, int64_t n);

// LayerNorm of one row: out = weight * (x - mean) / sqrt(variance + eps) + bias; Ba, Kiros and Hinton 2016. weight and
// bias may be null: 1 and 0. eps > 0. out may be x. Mean and variance are taken in double.
void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out, int64_t n);

// In place: gate[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)), silu(-inf) = -0.
void silu_mul(float* gate, const float* up, int64_t n);

// In place: gate[i] = gelu(gate[i]) * up[i] with the tanh form of GELU (Hendrycks and Gimpel 2016):
// gelu(x) = x / 2 (1 + tanh(u)) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3), gelu(-inf) = -0.
void gelu_tanh_mul(float* gate, const float* up, int64_t n);

// In place: the activation of x[i]. gelu is that by the error function, with an absolute error up to 1e-7 |x|;
// quick_gelu(x) = x / (1 + exp(-1.702 x)). Each is 0 at -infinity.
void silu(float* x, int64_t n);
void gelu_tanh(float* x, int64_t n);
void gelu(float* x, int64_t n);
void relu(float* x, int64_t n);
void quick_gelu(float* x, int64_t n);

// In place: x[i] = cap * tanh(x[i] / cap), cap > 0, with an absolute error up to 2e-7 cap.
void soft_cap(float* x, float cap, int64_t n);

// In place: h[i] *= x[i].
void multiply(float* h, const float* x, int64_t n);

// In place: h[i] += x[i].
void add(float* h, const float* x, int64_t n);

// In place: x[i] *= factor.
void scale(float* x, float factor, int64_t n);

// In place: rotates one head, rotate-half style: the pairs (x[i], x[i + half]) by the angles i < half, whose cosines
// and sines are given. x has 2 * half elements. Su et al. 2021.
void rope_half(float* x, const float* cos, const float* sin, int64_t half);

// The same with the pairs (x[2 i], x[2 i + 1]).
void rope_interleaved(float* x, const float* cos, const float* sin, int64_t half);

// c[m,n] (+)= a[m,k] * b[k,n], row-major with strides ld; for tiles that stay in cache.
// accumulate 0: c is set and its old values are not read, even for k = 0; else: c is added to.
void gemm_tile(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m, int64_t n,
               int64_t k, int accumulate);

// Streamed softmax over one more tile of scores s[n] of a row (Milakov and Gimelshein 2018); start with *max = -inf,
// *sum = 0. With m' = max(*max, s...): s[j] = exp(s[j] - m'), *sum = *sum * r + sum(s), *max = m'. Returns
// r = exp(*max - m'), the factor for what was accumulated before; 0 while *max was -inf. Scores may be -inf (masked);
// a row with nothing else so far has s = 0 and *sum = 0. A score of +inf or NaN makes *sum NaN.
float softmax_tile(float* s, int64_t n, float* max, float* sum);

// max |x[i]|; infinity or NaN anywhere gives infinity. 0 for n = 0.
float max_abs(const float* x, int64_t n);

// log(sum(exp(x[i]))) around the maximum, in double. -inf when all are -inf or n = 0; NaN for +inf or NaN anywhere.
double log_sum_exp(const float* x, int64_t n);

// KL(softmax(p) || softmax(q)) in nats of two rows of logits, in double; NaN for +inf or NaN anywhere. n >= 1.
double kl_divergence(const float* p, const float* q, int64_t n);

const char* simd_target();  // the instruction set in use, Highway's name: "AVX2", "AVX3_ZEN4", ...

// The scalar twins: plain loops that compute in double and round once. Same contracts.
namespace scalar {
void f16_to_f32(const uint16_t* in, float* out, int64_t n);
void bf16_to_f32(const uint16_t* in, float* out, int64_t n);
void f32_to_bf16(const float* in, uint16_t* out, int64_t n);
void rms_norm(const float* x, const float* weight, float eps, float* out, int64_t n);
void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out, int64_t n);
void silu_mul(float* gate, const float* up, int64_t n);
void gelu_tanh_mul(float* gate, const float* up, int64_t n);
void silu(float* x, int64_t n);
void gelu_tanh(float* x, int64_t n);
void gelu(float* x, int64_t n);
void relu(float* x, int64_t n);
void quick_gelu(float* x, int64_t n);
void soft_cap(float* x, float cap, int64_t n);
void multiply(float* h, const float* x, int64_t n);
void add(float* h, const float* x, int64_t n);
void scale(float* x, float factor, int64_t n);
void rope_half(float* x, const float* cos, const float* sin, int64_t half);
void rope_interleaved(float* x, const float* cos, const float* sin, int64_t half);
void gemm_tile(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m, int64_t n,
               int64_t k, int accumulate);
float softmax_tile(float* s, int64_t n, float* max, float* sum);
float max_abs(const float* x, int64_t n);
double log_sum_exp(const float* x, int64_t n);
double kl_divergence(const float* p, const float* q, int64_t n);
}  // namespace scalar

}  // namespace hesse
