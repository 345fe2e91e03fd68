#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <vector>

#include "base/checked.h"
#include "base/matrix.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "base/threads.h"

namespace hesse {
namespace {

TEST(Checked, OverflowAndNegativeSizesAreErrorsWithThePlace) {
  EXPECT_EQ(checked_mul(3, 4, "x"), 12);
  EXPECT_EQ(checked_add(int64_t{1} << 62, 1, "x"), (int64_t{1} << 62) + 1);
  EXPECT_THROW(checked_mul(int64_t{1} << 40, int64_t{1} << 40, "x"), Error);
  EXPECT_THROW(checked_add(std::numeric_limits<int64_t>::max(), 1, "x"), Error);
  try {
    checked_mul(-1, 2, "rows of 'w'");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("rows of 'w'"), testing::HasSubstr("-1 x 2")));
  }
}

TEST(Checked, NarrowingKeepsTheValueOrThrows) {
  EXPECT_EQ(narrow<int>(int64_t{2147483647}, "n"), 2147483647);
  EXPECT_THROW(narrow<int>(int64_t{2147483648}, "n"), Error);
  EXPECT_THROW(narrow<uint32_t>(int64_t{-1}, "n"), Error);
}

TEST(Threads, EveryIndexRunsOnce) {
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    std::vector<std::atomic<int>> runs(1000);
    parallel_for(1000, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
    for (const auto& r : runs) ASSERT_EQ(r.load(), 1);
  }
  set_threads(0);
  EXPECT_EQ(threads(), available_threads());
}

TEST(Threads, ExceptionsReachTheCaller) {
  EXPECT_THROW(parallel_for(100,
                            [](int64_t i) {
                              if (i == 57) throw std::out_of_range("57");
                            }),
               std::out_of_range);
}

TEST(Threads, NestedLoopsRunOnTheirThread) {
  std::atomic<int> sum{0};
  parallel_for(8, [&](int64_t) { parallel_for(8, [&](int64_t) { ++sum; }); });
  EXPECT_EQ(sum.load(), 64);
}

// NIST FIPS 180-4 examples.
TEST(Sha256, KnownDigests) {
  EXPECT_EQ(Sha256().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  hash.update("ab", 2);
  hash.update("c", 1);
  EXPECT_EQ(hash.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// Vigna's splitmix64.c with the state 1234567 prints these first.
TEST(Rng, IsSplitMix64AndDrawsWithinItsBound) {
  Rng rng(1234567);
  EXPECT_EQ(rng.next(), 6457827717110365317u);
  EXPECT_EQ(rng.next(), 3203168211198807973u);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(rng.below(7));
  EXPECT_EQ(seen.size(), 7u);
  EXPECT_EQ(*seen.rbegin(), 6u);
}

// The same numbers stand in tests/quality/quality_test.py: other tools are given the windows that this shuffle chooses.
TEST(Rng, ShufflesTheSameWayEverywhere) {
  std::vector<int> items{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  Rng(3).shuffle(items);
  EXPECT_EQ(items, (std::vector<int>{2, 8, 7, 4, 5, 6, 0, 1, 9, 3}));
}

// Blocks on cache lines, large ones on large pages, and every byte of them ours.
TEST(Matrix, LiesWhereItShould) {
  for (const int64_t size : {1, 7, 63, 64, 65, 4096, 4 << 20, (4 << 20) + 1}) {
    const int64_t alignment = size >= 4 << 20 ? 2 << 20 : 64;
    std::vector<Matrix<uint8_t>> blocks;
    for (int i = 0; i < 3; ++i) {
      blocks.emplace_back(1, size);
      std::fill_n(blocks.back().data(), size, static_cast<uint8_t>(i));
    }
    for (int i = 0; i < 3; ++i) {
      const Matrix<uint8_t>& block = blocks[static_cast<size_t>(i)];
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data()) % static_cast<uintptr_t>(alignment), 0u) << size;
      EXPECT_EQ(std::count(block.data(), block.data() + size, static_cast<uint8_t>(i)), size);
    }
  }
}

}  // namespace
}  // namespace hesse
