// What the kernel tests share: one test run per instruction set of this processor, random inputs, comparisons.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/kernels.h"
#include "kernels/targets.h"

namespace hesse {

using Floats = std::vector<float>;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr double kUnit = 0x1p-24;       // unit roundoff of float: one rounding is at most this, relative
constexpr double kSmallest = 0x1p-149;  // the smallest subnormal: what a rounding may cost among subnormals
constexpr double kUnitDouble = 0x1p-53;

// Around the widths of all vectors (1, 2, 4, 8, 16 lanes), twice that, that and 3 more, and longer.
inline std::vector<int64_t> sizes() {
  return {0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 15, 16, 17, 19, 23, 31, 32, 33, 35, 63, 64, 65, 100, 128, 1000, 1003};
}

// Where operands begin, in elements from an aligned place: 0 to 15, all there is for vectors of up to 64 bytes.
constexpr int64_t kOffsets = 16;

// --gtest_random_seed=N gives another one; every random test prints what it used when it fails.
inline uint64_t test_seed() { return 20240229u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed)); }
#define HESSE_PRINT_SEED() SCOPED_TRACE("seed " + std::to_string(test_seed()))

// n random floats that begin `offset` elements into an allocation and end with it, so that pointers are unaligned and
// AddressSanitizer sees one element too many.
struct Row {
  Row(int64_t n, int64_t offset, float value) : storage(static_cast<size_t>(n + offset), value), at(offset) {}
  Row(int64_t n, int64_t offset, Rng& rng, double spread = 1.0) : Row(n, offset, 0.0f) {
    for (float& value : storage) value = static_cast<float>(spread * rng.normal());
  }
  float* data() { return storage.data() + at; }
  const float* data() const { return storage.data() + at; }
  int64_t size() const { return static_cast<int64_t>(storage.size()) - at; }
  float& operator[](int64_t i) { return storage[static_cast<size_t>(at + i)]; }
  float operator[](int64_t i) const { return storage[static_cast<size_t>(at + i)]; }

  Floats storage;
  int64_t at;
};

// Equal, both NaN, or no further apart than the tolerance.
inline bool within(double actual, double expected, double tolerance) {
  if (std::isnan(actual) || std::isnan(expected)) return std::isnan(actual) && std::isnan(expected);
  return actual == expected || std::fabs(actual - expected) <= tolerance;
}
#define EXPECT_WITHIN(actual, expected, tolerance) \
  EXPECT_TRUE(within(actual, expected, tolerance)) \
      << (actual) << " for " << (expected) << ", tolerance " << (tolerance) << ", on " << simd_target()

// Calls body(n, offset, rng) for all sizes and unaligned places.
inline void sweep(const std::function<void(int64_t, int64_t, Rng&)>& body) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t n : sizes()) {
    for (int64_t offset = 0; offset < kOffsets; ++offset) {
      SCOPED_TRACE("n " + std::to_string(n) + ", offset " + std::to_string(offset));
      body(n, offset, rng);
      if (testing::Test::HasFailure()) return;
    }
  }
}

// Runs each test once per instruction set.
class KernelTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    use_only_target_for_test(GetParam());
    ASSERT_EQ(simd_target(), target_name(GetParam()));
  }
  void TearDown() override { use_only_target_for_test(0); }
};
#define HESSE_FOR_EACH_TARGET(Suite)                                     \
  INSTANTIATE_TEST_SUITE_P(On, Suite, testing::ValuesIn(simd_targets()), \
                           [](const testing::TestParamInfo<int64_t>& target) { return target_name(target.param); })

}  // namespace hesse
