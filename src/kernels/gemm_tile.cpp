// Product of small matrices that stay in cache: the heart of attention.
// Blocks of up to kMaxRows x 2 vectors of c are kept in registers; each step of k costs two loads of b, one broadcast
// of a per row, and two fused multiply-adds per row. (Van Zee and van de Geijn, BLIS, 2015.)
#include <cstdint>

#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm_tile.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// 6 x 2 sums, two vectors of b and one of a fill the 16 registers of AVX2; machines with 32 registers get 8 x 2.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3
constexpr int kMaxRows = 6;
#else
constexpr int kMaxRows = 8;
#endif

constexpr int64_t kMaxWidth = 2 * HWY_MAX_BYTES / sizeof(float);  // columns of a panel: two vectors
constexpr int64_t kPackedFloats = 4096;                           // a packed panel, on the stack
static_assert(kPackedFloats >= kMaxWidth);

struct Tile {
  const float* a;
  int64_t lda;
  const float* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
};

HWY_INLINE void multiply_add(float a, VF b0, VF b1, VF& sum0, VF& sum1) {
  const VF av = hn::Set(DF(), a);
  sum0 = hn::MulAdd(av, b0, sum0);
  sum1 = hn::MulAdd(av, b1, sum1);
}

HWY_INLINE void store_row(VF sum0, VF sum1, float* c, bool accumulate) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  if (accumulate) {
    sum0 = hn::Add(sum0, hn::LoadU(d, c));
    sum1 = hn::Add(sum1, hn::LoadU(d, c + lanes));
  }
  hn::StoreU(sum0, d, c);
  hn::StoreU(sum1, d, c + lanes);
}

// c[kRows, 2 vectors] (+)= a[kRows, k] * b[k, 2 vectors].
// The sums are variables, not an array: vectors of SVE and RISC-V have no size, and no array may hold them.
template <int kRows>
void block(const Tile& t, int64_t k, bool accumulate) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  VF s00 = hn::Zero(d), s10 = s00, s20 = s00, s30 = s00, s40 = s00, s50 = s00, s60 = s00, s70 = s00;
  VF s01 = s00, s11 = s00, s21 = s00, s31 = s00, s41 = s00, s51 = s00, s61 = s00, s71 = s00;
  const float* a = t.a;
  const float* b = t.b;
  for (int64_t p = 0; p < k; ++p, ++a, b += t.ldb) {
    const VF b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
    multiply_add(a[0], b0, b1, s00, s01);
    if constexpr (kRows > 1) multiply_add(a[t.lda], b0, b1, s10, s11);
    if constexpr (kRows > 2) multiply_add(a[2 * t.lda], b0, b1, s20, s21);
    if constexpr (kRows > 3) multiply_add(a[3 * t.lda], b0, b1, s30, s31);
    if constexpr (kRows > 4) multiply_add(a[4 * t.lda], b0, b1, s40, s41);
    if constexpr (kRows > 5) multiply_add(a[5 * t.lda], b0, b1, s50, s51);
    if constexpr (kRows > 6) multiply_add(a[6 * t.lda], b0, b1, s60, s61);
    if constexpr (kRows > 7) multiply_add(a[7 * t.lda], b0, b1, s70, s71);
  }
  store_row(s00, s01, t.c, accumulate);
  if constexpr (kRows > 1) store_row(s10, s11, t.c + t.ldc, accumulate);
  if constexpr (kRows > 2) store_row(s20, s21, t.c + 2 * t.ldc, accumulate);
  if constexpr (kRows > 3) store_row(s30, s31, t.c + 3 * t.ldc, accumulate);
  if constexpr (kRows > 4) store_row(s40, s41, t.c + 4 * t.ldc, accumulate);
  if constexpr (kRows > 5) store_row(s50, s51, t.c + 5 * t.ldc, accumulate);
  if constexpr (kRows > 6) store_row(s60, s61, t.c + 6 * t.ldc, accumulate);
  if constexpr (kRows > 7) store_row(s70, s71, t.c + 7 * t.ldc, accumulate);
}

// block<rows>, looked for from kRows downwards.
template <int kRows = kMaxRows>
void block_of(int64_t rows, const Tile& t, int64_t k, bool accumulate) {
  if (rows == kRows) return block<kRows>(t, k, accumulate);
  if constexpr (kRows > 1) block_of<kRows - 1>(rows, t, k, accumulate);
}

// A block that reaches beyond column n of c: `columns` of its sums are kept, the others go no further than a buffer.
void edge_block(int64_t rows, const Tile& t, int64_t k, bool accumulate, int64_t columns) {
  HWY_ALIGN float buffer[kMaxRows * kMaxWidth];
  const int64_t width = 2 * lanes_of(DF());
  block_of(rows, Tile{t.a, t.lda, t.b, t.ldb, buffer, width}, k, false);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < columns; ++j) {
      float& c = t.c[r * t.ldc + j];
      c = accumulate ? c + buffer[r * width + j] : buffer[r * width + j];
    }
  }
}

// Copies b[k, columns] to packed[k, width], zeros beyond `columns`. For the last, narrow panel only: packing the
// others too was measured and gained nothing at these sizes.
void pack(const Tile& t, int64_t k, int64_t columns, int64_t width, float* packed) {
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t j = 0; j < columns; ++j) packed[p * width + j] = t.b[p * t.ldb + j];
    for (int64_t j = columns; j < width; ++j) packed[p * width + j] = 0.0f;
  }
}

// c[m, columns] (+)= a[m, k] * b[k, columns], columns <= two vectors. The rows are dealt evenly, so that no block is
// so thin that it waits for its own sums.
void panel(Tile t, int64_t m, int64_t columns, int64_t k, bool accumulate) {
  const int64_t width = 2 * lanes_of(DF());
  HWY_ALIGN float packed[kPackedFloats];
  if (columns < width) {
    pack(t, k, columns, width, packed);
    t.b = packed;
    t.ldb = width;
  }
  for (int64_t blocks = (m + kMaxRows - 1) / kMaxRows; blocks > 0; --blocks) {
    const int64_t rows = (m + blocks - 1) / blocks;
    if (columns == width) {
      block_of(rows, t, k, accumulate);
    } else {
      edge_block(rows, t, k, accumulate, columns);
    }
    t.a += rows * t.lda;
    t.c += rows * t.ldc;
    m -= rows;
  }
}

void gemm_tile(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m, int64_t n,
               int64_t k, int accumulate) {
  const int64_t width = 2 * lanes_of(DF());
  const int64_t depth = kPackedFloats / width;  // of k at a time
  int64_t p = 0;
  do {
    const int64_t k_now = (k - p < depth) ? k - p : depth;
    for (int64_t j = 0; j < n; j += width) {
      const Tile t{a + p, lda, b + p * ldb + j, ldb, c + j, ldc};
      panel(t, m, (n - j < width) ? n - j : width, k_now, accumulate != 0 || p > 0);
    }
    p += k_now;
  } while (p < k);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hesse {

HWY_EXPORT(gemm_tile);

void gemm_tile(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t m, int64_t n,
               int64_t k, int accumulate) {
  HWY_DYNAMIC_DISPATCH(gemm_tile)(a, lda, b, ldb, c, ldc, m, n, k, accumulate);
}

}  // namespace hesse
#endif
