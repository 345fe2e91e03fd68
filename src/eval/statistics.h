// What can be said of many losses, and how sure it is. Pure maths: no models, no files.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hesse/evaluation.h"

namespace hesse {

double mean_of(std::span<const double> values);  // 0 of none

// The value below which `share` of the values lie, between neighbours in proportion; `share` from 0 to 1. NaN when a
// value is NaN. Takes at least one value.
double quantile_of(std::vector<double> values, double share);

// Mean without the `share` largest and the `share` smallest, rounded down to whole values.
double trimmed_mean_of(std::vector<double> values, double share);

constexpr int64_t kFewestBlocks = 5;  // below them nobody can tell how much blocks differ

// Where the mean of all blocks of this kind lies, 95 %: the bootstrap of Efron (1979) on blocks that do not depend on
// each other, with the percentiles set wider for few of them (Hesterberg 2015, "expanded percentile"). The draws follow
// from the number of blocks alone, so that intervals of several means of the same blocks fit together, and those of
// differences are paired. None below kFewestBlocks.
std::optional<Interval> bootstrap_interval(std::span<const double> blocks);

// 95 % interval of a share: `hits` of `count` > 0 (Wilson 1927). `hits` may be a fraction.
Interval share_interval(double hits, int64_t count);

// The range of PositionLoss that predictions with `before` >= 1 tokens before them belong to: 0 for 1, 1 for 2 and 3,
// ...
int64_t position_range(int64_t before);

}  // namespace hesse
