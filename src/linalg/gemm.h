// Matrix products. float32 and bfloat16 go through oneDNN, float64 through BLAS (docs/DECISIONS.md, "who multiplies").
// Where operands are compute views, both are of one type. Products of bfloat16 are exact in float32 and summed there; a
// processor without instructions for them gets the same numbers, up to the order of the sums, at the speed of float32.
#pragma once

#include <string>

#include "base/compute_matrix.h"
#include "base/matrix.h"

namespace hesse {

enum class Output { kSet, kAdd };  // c = ..., or c += ...

// c[m, n] = a[m, k] * b[n, k]^T: a linear, with b as its weight [out, in].
void gemm_nt(ConstComputeView a, ConstComputeView b, MatrixView<float> c, Output output);

// c[m, n] = a[m, k] * b[k, n], k > 0.
void gemm_nn(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c);

// c[m, n] += a[k, m]^T * b[k, n] in float64. On one thread when called from inside parallel_for.
void gemm_tn_add(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c);

// c[m, n] += a[m, k] * b[k, n] in float64. On one thread when called from inside parallel_for.
void gemm_nn_add(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c);

// Lower triangle (diagonal included) of h[n, n] += x[t, n]^T * x[t, n]. Products in float32 over at most
// kGramChunkRows rows at a time, summed in float64: 40 times more accurate than a float32 sum and as fast.
// The order of the sums depends on nothing but the order of the calls and the rows.
constexpr int64_t kGramChunkRows = 2048;
void add_gram(ConstComputeView x, MatrixView<double> h);

// c[m, n] += x[t, m]^T * y[t, n], summed as add_gram does.
void add_product_tn(ConstComputeView x, ConstComputeView y, MatrixView<double> c);

// Whether this processor multiplies bfloat16 by itself, as far as oneDNN uses it.
bool native_bf16();

std::string onednn_version();  // "oneDNN 2.6.3"
std::string onednn_isa();      // "avx2": the instruction set that it uses here
std::string lapack_version();  // "OpenBLAS 0.3.21 (Zen)": the kernels it chose for this processor

}  // namespace hesse
