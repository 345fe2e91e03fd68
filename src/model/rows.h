// Work on the rows of activations, dealt to the threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/checked.h"
#include "base/compute_matrix.h"
#include "base/threads.h"
#include "kernels/compute_row.h"

namespace hesse {

constexpr int64_t kTaskRows = 16;  // enough work for one task

template <class Body>
void for_each_row(int64_t rows, Body body) {
  parallel_for(ceil_div(rows, kTaskRows), [&](int64_t tile) {
    for (int64_t r = tile * kTaskRows; r < std::min(rows, tile * kTaskRows + kTaskRows); ++r) body(r);
  });
}

// Calls body(r, row) for every row of `out` with the place where it is to be computed.
template <class Body>
void fill_rows(ComputeView out, Body body) {
  parallel_for(ceil_div(out.rows, kTaskRows), [&](int64_t tile) {
    std::vector<float> scratch(static_cast<size_t>(out.type == ComputeType::kF32 ? 0 : out.cols));
    for (int64_t r = tile * kTaskRows; r < std::min(out.rows, tile * kTaskRows + kTaskRows); ++r) {
      float* row = row_to_fill(out, r, scratch.data());
      body(r, row);
      store_row(row, out, r);
    }
  });
}

// What a linear writes to before its rows become the rows of `out`: they themselves where those are float32.
struct Outputs {
  Matrix<float> own;
  MatrixView<float> view;

  explicit Outputs(ComputeView out) {
    if (out.type == ComputeType::kF32) {
      view = out.f32();
    } else {
      own = Matrix<float>(out.rows, out.cols);
      view = own.view();
    }
  }
};

}  // namespace hesse
