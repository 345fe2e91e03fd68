// The loops that run once per activation. Pointers, lengths, strides; no allocation, I/O, exceptions or threads.
// Each has a scalar twin in namespace hesse::scalar with the same contract: its documentation and its oracle.
// The SIMD versions choose their instruction set at run time (Highway). Unaligned pointers are fine; in and out may be
// the same pointer where noted, else they must not overlap.
#pragma once

#include <cstdint>

namespace hesse {

#define HESSE_KERNELS(K)                                                                                               \
  /* out[i] = value of the half or bfloat16 bits in[i]; exact */                                                       \
  K(void, f16_to_f32, (const uint16_t* in, float* out, int64_t n))                                                     \
  K(void, bf16_to_f32, (const uint16_t* in, float* out, int64_t n))                                                    \
  /* RMSNorm of one row: out = weight * x / sqrt(mean(x^2) + eps); Zhang and Sennrich 2019. out may be x. */           \
  K(void, rms_norm, (const float* x, const float* weight, float eps, float* out, int64_t n))                           \
  /* gate[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)); in place */                                         \
  K(void, silu_mul, (float* gate, const float* up, int64_t n))                                                         \
  /* h[i] += x[i] */                                                                                                   \
  K(void, add, (float* h, const float* x, int64_t n))                                                                  \
  /* Rotates one head in place, rotate-half style: pairs (i, i + half), i < half; x has 2*half elements. */            \
  K(void, rope_half, (float* x, const float* cos, const float* sin, int64_t half))                                     \
  /* c[m,n] (+)= a[m,k] * b[k,n], row-major with strides; for tiles that stay in cache. accumulate 0: c is set. */     \
  K(void, gemm_tile, (const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m,      \
                      int64_t n, int64_t k, int accumulate))                                                           \
  /* Streamed softmax over one more tile of scores s[n] of a row (Milakov and Gimelshein 2018):                        \
     with m' = max(*max, s...), s[j] = exp(s[j] - m'), *sum = *sum * r + sum(s), *max = m'; returns r = exp(*max-m'),  \
     the factor for what was accumulated before (0 when *max was -inf). Scores may be -inf, not all of a first tile. */\
  K(float, softmax_tile, (float* s, int64_t n, float* max, float* sum))                                                \
  /* x[i] *= factor */                                                                                                 \
  K(void, scale, (float* x, float factor, int64_t n))                                                                  \
  /* max |x[i]|; infinity or NaN anywhere gives infinity. 0 for n = 0. */                                              \
  K(float, max_abs, (const float* x, int64_t n))                                                                       \
  /* log(sum(exp(x[i]))), computed around the maximum, sums in double; n >= 1 */                                       \
  K(double, log_sum_exp, (const float* x, int64_t n))

#define HESSE_DECLARE(ret, name, args) ret name args;
HESSE_KERNELS(HESSE_DECLARE)
namespace scalar {
HESSE_KERNELS(HESSE_DECLARE)
}
#undef HESSE_DECLARE

const char* simd_target();  // the instruction set in use, Highway's name: "AVX2", "AVX3_ZEN4", ...

}  // namespace hesse
