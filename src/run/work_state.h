// What the journal of a work directory says was done, as far as the files beside it bear it out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/file_sum.h"
#include "io/json.h"
#include "run/identity.h"
#include "run/unit.h"

namespace hesse {

// The activations behind some layers, in a file.
struct Snapshot {
  int64_t layers = 0;  // that lie in front of it
  std::string file;
  FileSum sum;
};

struct WorkState {
  Facts decides;     // of the run
  Facts arithmetic;  // of the process that was last at work
  int64_t sessions = 0;
  double seconds = 0;  // of all sessions, each until its last unit
  std::vector<Unit> units;
  std::optional<Snapshot> snapshot;
  std::optional<std::string> result;  // checksum of the marker file of what was to be published
  int64_t good_bytes = 0;             // of the journal; what lies behind is to be done again
  bool lost = false;                  // something that was done is to be done again
};

// `marker`: the file of a published result. Where it is that of this run, the files of the units count no more: they
// may have been removed. A journal that is absent or of no use gives an empty state.
WorkState read_work_state(const std::filesystem::path& directory, const std::vector<UnitPlace>& units,
                          const std::filesystem::path& marker);
bool is_published(const WorkState& state, const std::filesystem::path& marker);

// Entries of the journal.
Json run_entry(const Identity& identity);
Json session_entry(const Facts& arithmetic);
Json unit_entry(const Unit& unit);
Json snapshot_entry(const Snapshot& snapshot);
Json result_entry(const std::string& sha256);

}  // namespace hesse
