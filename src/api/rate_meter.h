// Measures on the spot what this machine does in a second: the best of a few runs, since what else runs here can only
// make one slower. Calls in turn, from one thread.
#pragma once

#include <cstdint>
#include <functional>

#include "base/matrix.h"
#include "model/attention.h"
#include "plan/rates.h"
#include "quant/options.h"
#include "quant/spec.h"

namespace hesse {

enum class Care {
  kQuick,     // in front of a run: a few tenths of a second in all
  kThorough,  // for `hesse bench`
};

class RateMeter {
 public:
  explicit RateMeter(Care care) : care_(care) {}

  // Threads that have just been made need about a tenth of a second to find their processors.
  void warm_up() const;

  // Sides of matrices above it take too long.
  int64_t longest_side() const { return care_ == Care::kQuick ? 512 : 2048; }

  // FLOP/s
  double gemm(int64_t rows, int64_t out, int64_t in) const;   // y = x W^T
  double gram(int64_t rows, int64_t in) const;                // one half counted
  double cross(int64_t rows, int64_t out, int64_t in) const;  // y^T x
  double attention(const AttentionShape& shape) const;        // pairs that are seen
  double factor(int64_t n) const;                             // float64

  // Bytes a second.
  double memory_read(int64_t bytes) const;
  double memory_copy(int64_t bytes) const;   // read and written
  double memory_fresh(int64_t bytes) const;  // written for the first time
  double hash() const;

  // Of MachineRates: prepare, solve, held_out_share, target.
  void solver(const LinearSpec& spec, const GptqOptions& options, int64_t widest, MachineRates& rates) const;

 private:
  double seconds_of(const std::function<void()>& body) const;

  Care care_;
};

// Correlated values of unequal size, as activations have them. [rows, cols]
Matrix<float> random_activations(int64_t rows, int64_t cols, uint64_t seed);

}  // namespace hesse
