// The layer-by-layer run: from a checked job to a complete result directory, by way of a work directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "hesse/events.h"
#include "plan/prediction.h"
#include "run/job.h"
#include "run/layer.h"
#include "run/result_writer.h"
#include "run/snapshot.h"
#include "run/work_directory.h"

namespace hesse {

// What is left to compute behind what `work` has done already.
StageParts parts_left(const Job& job, const WorkDirectory& work);

class Run {
 public:
  // All three outlive it. `version` is Hesse's.
  Run(const Job& job, WorkDirectory& work, Listener& listener, std::string version);

  // Commits every unit to the work directory that is not there yet. Calls the listener between linears, from this
  // thread; when it asks to stop, throws Error(kInterrupted) behind the next commit.
  void solve(const SnapshotRule& rule);
  // From the units, into an empty directory; reads it back and compares.
  void write_result(const std::filesystem::path& directory);
  // Lacks what the caller knows better: inputs, versions, all its time.
  RunRecord record() const;

 private:
  void restore();
  Streams first_streams(int64_t first_layer);
  void embed_tokens(Streams& streams) const;
  void part_streams(Streams& streams);
  int64_t last_layer() const;
  LayerEvents events_of(int64_t layer);
  std::optional<QuantizedLinear> packed_before(UnitPlace place, const std::string& linear);
  void commit(UnitPlace place, const std::vector<SolvedLinear>& solved);
  void judge(const LinearRecord& record) const;
  void warn(const std::string& text);
  std::vector<LinearRecord> all_records() const;
  void tell_progress(int64_t layer, double share_of_layer);
  void stop_if_asked() const;
  void save_streams(int64_t layers, const Streams& streams, SnapshotClock& clock);

  const Job& job_;
  WorkDirectory& work_;
  Listener& listener_;
  std::string version_;
  StageParts parts_;
  ResultWriter writer_;
  Json unit_config_;  // for reading the files of units
  bool two_streams_ = false;
  PhaseClock clock_;
  Stopwatch watch_;
  std::optional<Countdown> countdown_;
  std::optional<Checkpoint> open_unit_;  // of the unit whose linears are being read
  std::optional<UnitPlace> open_place_;
  std::vector<std::string> unit_warnings_;  // that arose since the last commit
  RunRecord record_;
  double share_before_ = 0;  // of the work, done before this process
  bool told_of_unusable_tokens_ = false;
};

}  // namespace hesse
