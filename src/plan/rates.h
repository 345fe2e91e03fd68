// What a machine does in a second, as far as predicted times rest on it.
#pragma once

#include <cstdint>
#include <vector>

#include "quant/gptq.h"

namespace hesse {

// Of products with a weight or sum of [out, in]; FLOP/s as plan/work.h counts them.
struct ShapeRate {
  int64_t out = 0;
  int64_t in = 0;
  double flops_per_second = 0;
};

// That of the measured shape next to [out, in], in ratios of the sides. `rates` holds one at least.
double rate_near(const std::vector<ShapeRate>& rates, int64_t out, int64_t in);

// seconds(n) = low n^power + high n^(power + 1): a cost whose two parts grow differently.
struct Growth {
  int power = 1;
  double low = 0;
  double high = 0;
  double seconds(int64_t n) const;
  // Through two measurements with n1 < n2. Noise that would make a part negative gives all to the other one.
  struct Point {
    int64_t n = 0;
    double seconds = 0;
  };
  static Growth through(int power, const Point& first, const Point& second);
};

struct MachineRates {
  int threads = 1;
  std::vector<ShapeRate> gemm;   // y = x W^T, W [out, in]
  std::vector<ShapeRate> gram;   // x^T x, out = in, one half counted
  std::vector<ShapeRate> cross;  // y^T x
  double attention = 0;          // FLOP/s, causal pairs counted
  double target = 0;             // FLOP/s in float64 of what moves a target
  Growth prepare;                // factoring a Hessian of n inputs: n^2 and n^3
  Growth solve;                  // kSolverRows rows of n inputs on every thread, losses measured: n and n^2
  double held_out_share = 0;     // the sample of one linear behind held-out errors, of solve.seconds(n)
  double copy_bytes = 0;         // bytes read and written a second, of activations
  double fresh_bytes = 0;        // bytes a second of memory that is new to the process
  double hash_bytes = 0;         // bytes a second of SHA-256
};

}  // namespace hesse
