#include "eval/summary.h"

#include <cmath>
#include <numbers>

#include "eval/statistics.h"

namespace hesse {
namespace {

constexpr double kTrimmed = 0.01;  // of the largest and of the smallest losses

std::optional<Interval> exp_of(std::optional<Interval> interval) {
  if (interval) interval = Interval{std::exp(interval->low), std::exp(interval->high)};
  return interval;
}

std::vector<PositionLoss> by_position(const Predictions& p) {
  std::vector<PositionLoss> ranges;
  std::vector<int64_t> counts;
  for (int64_t before = 1; before <= p.per_window; ++before) {
    const size_t range = static_cast<size_t>(position_range(before));
    if (range == ranges.size()) {
      ranges.push_back({.first = before, .kl = p.kl.empty() ? -1.0 : 0.0});
      counts.push_back(0);
    }
    PositionLoss& to = ranges[range];
    to.last = before;
    counts[range] += p.windows;
    for (int64_t window = 0; window < p.windows; ++window) {
      const size_t i = static_cast<size_t>(window * p.per_window + before - 1);
      to.nll += p.loss[i];
      if (!p.kl.empty()) to.kl += p.kl[i];
    }
  }
  for (size_t i = 0; i < ranges.size(); ++i) {
    ranges[i].nll /= static_cast<double>(counts[i]);
    if (!p.kl.empty()) ranges[i].kl /= static_cast<double>(counts[i]);
  }
  return ranges;
}

AgainstResult against_of(const Predictions& p) {
  AgainstResult result;
  const double nll = mean_of(p.loss), reference = mean_of(p.reference_loss);
  result.perplexity = std::exp(reference);
  result.perplexity_ratio = std::exp(nll - reference);
  result.kl = mean_of(p.kl);
  result.kl_median = quantile_of(p.kl, 0.5);
  result.kl_p99 = quantile_of(p.kl, 0.99);
  result.top1_agreement = mean_of(p.same_top);
  // Both models predict the same windows: what makes a window hard cancels in the difference.
  std::vector<double> difference = window_means(p, p.loss);
  const std::vector<double> of_reference = window_means(p, p.reference_loss);
  for (size_t i = 0; i < difference.size(); ++i) difference[i] -= of_reference[i];
  result.ratio_interval = exp_of(bootstrap_interval(difference));
  result.kl_interval = bootstrap_interval(window_means(p, p.kl));
  result.agreement_interval = bootstrap_interval(window_means(p, p.same_top));
  return result;
}

}  // namespace

Predictions of_reference(const Predictions& compared) {
  return {.windows = compared.windows, .per_window = compared.per_window, .loss = compared.reference_loss};
}

EvalResult summarize(const Predictions& p, const Windows& windows) {
  EvalResult result;
  result.mean_nll = mean_of(p.loss);
  result.perplexity = std::exp(result.mean_nll);
  result.windows = p.windows;
  result.window = windows.length() - windows.bos;
  result.predictions = p.count();
  result.bos = windows.bos != 0;
  result.interval = exp_of(bootstrap_interval(window_means(p, p.loss)));
  result.median_nll = quantile_of(p.loss, 0.5);
  result.trimmed_nll = trimmed_mean_of(p.loss, kTrimmed);
  if (windows.predicted_bytes > 0) {
    const double bits = result.mean_nll * static_cast<double>(p.count()) / std::numbers::ln2;
    result.bits_per_byte = bits / static_cast<double>(windows.predicted_bytes);
  }
  result.positions = by_position(p);
  if (!p.kl.empty()) result.against = against_of(p);
  return result;
}

}  // namespace hesse
