#include "eval/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/rng.h"

namespace hesse {
namespace {

constexpr int64_t kDraws = 4000;
constexpr double kNormal975 = 1.959963984540054;  // 97.5 % of the standard normal distribution lie below

bool any_nan(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [](double value) { return std::isnan(value); });
}

double normal_share_below(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

// The same point of Student's distribution, by the expansion of Cornish and Fisher in 1 / degrees: 3e-4 off at 4, the
// fewest that are asked for, and less above.
double student_975(double degrees) {
  const double z = kNormal975;
  const double z2 = z * z;
  const double first = z * (z2 + 1) / 4;
  const double second = z * ((5 * z2 + 16) * z2 + 3) / 96;
  const double third = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
  const double fourth = z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92160;
  return z + (first + (second + (third + fourth / degrees) / degrees) / degrees) / degrees;
}

// `values` are sorted.
double sorted_quantile(const std::vector<double>& values, double share) {
  const double place = share * static_cast<double>(values.size() - 1);
  const size_t low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (place - static_cast<double>(low)) * (values[high] - values[low]);
}

}  // namespace

double mean_of(std::span<const double> values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double quantile_of(std::vector<double> values, double share) {
  if (any_nan(values)) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  return sorted_quantile(values, share);
}

double trimmed_mean_of(std::vector<double> values, double share) {
  if (any_nan(values)) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const size_t cut = static_cast<size_t>(share * static_cast<double>(values.size()));
  return mean_of(std::span(values).subspan(cut, values.size() - 2 * cut));
}

std::optional<Interval> bootstrap_interval(std::span<const double> blocks) {
  const uint64_t count = blocks.size();
  if (static_cast<int64_t>(count) < kFewestBlocks) return std::nullopt;
  Rng rng(count);
  std::vector<double> means(static_cast<size_t>(kDraws));
  for (double& mean : means) {
    double sum = 0;
    for (uint64_t i = 0; i < count; ++i) sum += blocks[rng.below(count)];
    mean = sum / static_cast<double>(count);
  }
  if (any_nan(means)) return std::nullopt;
  std::sort(means.begin(), means.end());
  // Draws from n blocks vary by (n - 1) / n too little, and their spread is itself only estimated.
  const double n = static_cast<double>(count);
  const double tail = normal_share_below(-std::sqrt(n / (n - 1)) * student_975(n - 1));
  return Interval{sorted_quantile(means, tail), sorted_quantile(means, 1 - tail)};
}

Interval share_interval(double hits, int64_t count) {
  const double n = static_cast<double>(count);
  const double share = hits / n;
  const double z2 = kNormal975 * kNormal975;
  const double centre = (share + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kNormal975 * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

int64_t position_range(int64_t before) { return std::bit_width(static_cast<uint64_t>(before)) - 1; }

}  // namespace hesse
