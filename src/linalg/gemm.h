// Matrix products. float32 goes through oneDNN, float64 through BLAS (docs/DECISIONS.md, "who multiplies").
#pragma once

#include <string>

#include "base/matrix.h"

namespace hesse {

enum class Output { kSet, kAdd };  // c = ..., or c += ...

// c[m, n] = a[m, k] * b[n, k]^T: a linear, with b as its weight [out, in].
void gemm_nt(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c, Output output);

// c[m, n] += a[k, m]^T * b[k, n] in float64. On one thread when called from inside parallel_for.
void gemm_tn_add(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c);

// c[m, n] += a[m, k] * b[k, n] in float64. On one thread when called from inside parallel_for.
void gemm_nn_add(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c);

// Lower triangle (diagonal included) of h[n, n] += x[t, n]^T * x[t, n]. Products in float32 over at most
// kGramChunkRows rows at a time, summed in float64: 40 times more accurate than a float32 sum and as fast.
// The order of the sums depends on nothing but the order of the calls and the rows.
constexpr int64_t kGramChunkRows = 2048;
void add_gram(MatrixView<const float> x, MatrixView<double> h);

// c[m, n] += x[t, m]^T * y[t, n], summed as add_gram does.
void add_product_tn(MatrixView<const float> x, MatrixView<const float> y, MatrixView<double> c);

std::string onednn_version();  // "oneDNN 2.6.3"
std::string onednn_isa();      // "avx2": the instruction set that it uses here
std::string lapack_version();  // "OpenBLAS 0.3.21 (Zen)": the kernels it chose for this processor

}  // namespace hesse
