#include "run/snapshot.h"

#include <gtest/gtest.h>

namespace hesse {
namespace {

constexpr int64_t kGb = 1'000'000'000;
constexpr SnapshotClock::Disk kRoomy{
    .bytes = kGb, .older = 0, .budget = 10 * kGb, .free = 100 * kGb, .still_to_write = 5 * kGb};

TEST(SnapshotClock, SavingWaitsUntilItIsWorthIt) {
  EXPECT_TRUE(SnapshotClock({.worth = 0}).is_due(kRoomy));
  EXPECT_FALSE(SnapshotClock({.worth = 30}).is_due(kRoomy));  // 5 s at the expected speed, so in 150 s
  SnapshotClock clock({.worth = 30});
  clock.saved(1e-12, kGb);  // a disk without equal
  EXPECT_TRUE(clock.is_due(kRoomy));
  clock.saved(60, kGb);
  EXPECT_FALSE(clock.is_due(kRoomy));
}

TEST(SnapshotClock, TheDiskMustHaveRoom) {
  const SnapshotClock clock({.worth = 0, .spare_bytes = kGb});
  SnapshotClock::Disk disk = kRoomy;
  disk.budget = kGb;
  EXPECT_TRUE(clock.is_due(disk));
  disk.older = 1;  // both are there for a moment
  EXPECT_FALSE(clock.is_due(disk));
  disk = kRoomy;
  disk.free = 7 * kGb;  // the snapshot, what is still to write, and the spare bytes
  EXPECT_TRUE(clock.is_due(disk));
  --disk.free;
  EXPECT_FALSE(clock.is_due(disk));
}

}  // namespace
}  // namespace hesse
