#include "quant/hessian.h"

#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"
#include "linalg/gemm.h"

namespace hesse {

void Hessian::add(MatrixView<const float> x) {
  add_gram(x, sum.view());
  tokens += x.rows;
}

void Hessian::finish() {
  constexpr int64_t kTile = 64;  // both sides of a tile stay in cache
  const int64_t n = in();
  parallel_for(ceil_div(n, kTile), [&](int64_t tile) {
    const int64_t first = tile * kTile;
    for (int64_t column = 0; column <= first; column += kTile) {
      for (int64_t r = first; r < std::min(n, first + kTile); ++r) {
        for (int64_t c = column; c < std::min(r, column + kTile); ++c) sum(c, r) = sum(r, c);
      }
    }
  });
}

}  // namespace hesse
