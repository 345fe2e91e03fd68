// OUT.hesse-work: what a run has done so far, beside its output, until that is complete. The only place that knows the
// names in it. docs/FORMATS.md describes it byte by byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/process.h"
#include "io/file_lock.h"
#include "io/journal.h"
#include "run/identity.h"
#include "run/unit.h"
#include "run/work_state.h"

namespace hesse {

bool is_work_directory(const std::filesystem::path& path);  // by its name

class WorkDirectory {
 public:
  struct Setup {
    std::filesystem::path target;  // the output, as output_path() has it
    std::string marker;            // the file of a result by which it is known again
    Identity identity;
    std::vector<UnitPlace> units;  // all that there will be, in order
    bool resume = true;            // false: what an earlier run has done is removed
  };

  // Takes the lock and reads what an earlier run has done, as far as it is whole. Error(kUsage) when another process
  // works there, when the earlier run was another one (the text lists what differs), or when the directory holds files
  // that Hesse does not write; Error(kEnvironment) when it cannot be made.
  explicit WorkDirectory(Setup setup);
  // Removes the directory when nothing is committed in it.
  ~WorkDirectory();
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::string>& warnings() const { return warnings_; }  // about what was found

  // The target is the result of this very run already, which ended behind publishing it: only remove() is left to do.
  bool published() const { return published_; }

  // Before the first commit.
  void begin();
  const std::vector<Unit>& units() const { return state_.units; }  // committed, in order
  bool is_complete() const { return units().size() == setup_.units.size(); }
  UnitPlace next() const { return setup_.units.at(units().size()); }  // the first that is not; unless is_complete()
  const Unit* find(UnitPlace place) const;                            // nullptr: not committed
  bool is_pending(UnitPlace place) const;                             // one of all that is not committed yet
  int64_t linears_done() const;
  int64_t sessions_before() const { return sessions_before_; }  // processes that were at work on this run
  double seconds_before() const { return seconds_before_; }     // of theirs

  // `write` makes a file at a path, synced.
  using WriteFile = std::function<void(const std::filesystem::path&)>;
  // The unit next(). When this returns, it outlives whatever happens.
  void commit(Unit unit, const WriteFile& write);
  Checkpoint open(const Unit& unit) const { return Checkpoint::of_file(path_ / unit.file); }

  // Takes the place of the snapshot before.
  void save_snapshot(int64_t layers, const WriteFile& write);
  const std::optional<Snapshot>& snapshot() const { return state_.snapshot; }

  // Before the result is published: the checksum of its marker file.
  void note_result(const std::string& sha256);
  // The directory and all in it, when the result is in its place. False: something stayed.
  bool remove();

 private:
  void take_lock();
  void refuse_foreign_files() const;
  void load();
  void refuse_other_run(const std::string& differs) const;
  void remove_files_but(const std::set<std::string>& kept);
  FileSum put_file(const std::string& name, const WriteFile& write);

  Setup setup_;
  std::filesystem::path path_;
  FileLock lock_;
  Stopwatch watch_;
  std::vector<std::string> warnings_;
  WorkState state_;
  bool published_ = false;
  int64_t sessions_before_ = 0;
  double seconds_before_ = 0;
  std::unique_ptr<Journal> journal_;
};

}  // namespace hesse
