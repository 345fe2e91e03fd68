// How far two distributions are apart that are known by counts.
#pragma once

#include <cstdint>
#include <span>

namespace hesse {

// The Jensen-Shannon divergence in nats: 0 of equal shares, ln 2 of counts that have nothing in common. -1 where one of
// them is empty or has no counts, or their sizes differ.
double jensen_shannon(std::span<const int64_t> a, std::span<const int64_t> b);

}  // namespace hesse
