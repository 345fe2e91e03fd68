#include "base/divergence.h"

#include <cmath>

namespace hesse {
namespace {

double total(std::span<const int64_t> counts) {
  double sum = 0;
  for (const int64_t count : counts) sum += static_cast<double>(count);
  return sum;
}

// p ln(p / m), 0 for p = 0.
double term(double p, double m) { return p > 0 ? p * std::log(p / m) : 0; }

}  // namespace

double jensen_shannon(std::span<const int64_t> a, std::span<const int64_t> b) {
  const double all_a = total(a), all_b = total(b);
  if (a.size() != b.size() || !(all_a > 0) || !(all_b > 0)) return -1;
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double p = static_cast<double>(a[i]) / all_a, q = static_cast<double>(b[i]) / all_b;
    sum += (term(p, (p + q) / 2) + term(q, (p + q) / 2)) / 2;
  }
  return sum > 0 ? sum : 0;
}

}  // namespace hesse
