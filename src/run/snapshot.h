// The streams between two layers, saved so that a run that goes on need not compute them again.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/process.h"
#include "run/job.h"
#include "run/streams.h"

namespace hesse {

// When saving is worth its time.
struct SnapshotRule {
  double worth = 100;                   // times what it costs must have passed since the one before
  double first_bytes_per_second = 2e8;  // what the first one is expected to cost
  int64_t spare_bytes = 1'000'000'000;  // that must stay free on the disk besides the result
};

// Decides, layer by layer, whether the streams are saved.
class SnapshotClock {
 public:
  explicit SnapshotClock(const SnapshotRule& rule) : rule_(rule) {}
  // `older`: bytes of the one that is there until the new one is complete. `budget`: for both together, bytes.
  // `still_to_write`: what the run needs of the disk besides.
  struct Disk {
    int64_t bytes = 0;
    int64_t older = 0;
    int64_t budget = 0;
    int64_t free = 0;
    int64_t still_to_write = 0;
  };
  bool is_due(const Disk& disk) const;
  void saved(double seconds, int64_t bytes);

 private:
  SnapshotRule rule_;
  Stopwatch since_;               // the one before, or the beginning
  double seconds_per_byte_ = -1;  // of the one before; -1: there was none
};

int64_t stream_bytes(const Streams& streams);
void write_streams(const Streams& streams, const std::filesystem::path& path);
// Error(kEnvironment) when the file does not hold the streams of this job.
void read_streams(const Job& job, const std::filesystem::path& path, Streams& streams);

}  // namespace hesse
