// The products of gemm.h on bfloat16 inputs, with their contracts. For this folder alone: others see gemm.h.
#pragma once

#include "linalg/gemm.h"

namespace hesse::bf16 {

void gemm_nt(MatrixView<const uint16_t> a, MatrixView<const uint16_t> b, MatrixView<float> c, Output output);
void add_gram(MatrixView<const uint16_t> x, MatrixView<double> h);
void add_product_tn(MatrixView<const uint16_t> x, MatrixView<const uint16_t> y, MatrixView<double> c);

}  // namespace hesse::bf16
