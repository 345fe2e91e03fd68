#include "plan/rates.h"

#include <cmath>
#include <limits>

namespace hesse {

double rate_near(const std::vector<ShapeRate>& rates, int64_t out, int64_t in) {
  const auto apart = [](int64_t a, int64_t b) {
    return std::abs(std::log(static_cast<double>(a) / static_cast<double>(b)));
  };
  double least = std::numeric_limits<double>::infinity();
  double found = 0;
  for (const ShapeRate& rate : rates) {
    const double distance = apart(rate.out, out) + apart(rate.in, in);
    if (distance >= least) continue;
    least = distance;
    found = rate.flops_per_second;
  }
  return found;
}

double Growth::seconds(int64_t n) const {
  const double x = static_cast<double>(n);
  return std::pow(x, power) * (low + high * x);
}

Growth Growth::through(int power, const Point& first, const Point& second) {
  const double x1 = static_cast<double>(first.n), x2 = static_cast<double>(second.n);
  const double y1 = first.seconds / std::pow(x1, power), y2 = second.seconds / std::pow(x2, power);
  Growth growth{power, 0, (y2 - y1) / (x2 - x1)};
  growth.low = y1 - growth.high * x1;
  if (growth.high < 0) return {power, y2, 0};
  if (growth.low < 0) return {power, 0, y2 / x2};
  return growth;
}

}  // namespace hesse
