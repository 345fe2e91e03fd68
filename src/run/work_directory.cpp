#include "run/work_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEnding = ".hesse-work";
constexpr const char* kLock = "lock";
constexpr const char* kJournal = "journal";
constexpr const char* kPart = ".part";  // of a file that is being written

std::string unit_file(UnitPlace place) {
  return fmt::format("layer-{:03}-stage-{}.safetensors", place.layer, place.stage);
}
std::string snapshot_file(int64_t layers) { return fmt::format("streams-{:03}.safetensors", layers); }

// Whether Hesse makes files of this name in the directory.
bool is_ours(const fs::path& file) {
  std::string name = file.filename().string();
  if (name.ends_with(kPart)) name.resize(name.size() - std::string_view(kPart).size());
  const bool tensors = name.ends_with(".safetensors") && (name.starts_with("layer-") || name.starts_with("streams-"));
  // Scratch files lose their names at once; one with a name is of a process that was killed just then.
  return name == kLock || name == kJournal || tensors || name.starts_with("scratch-");
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    names.push_back(entry->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string age(int64_t seconds) {
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200) return fmt::format("{} min", seconds / 60);
  return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
}

struct Owner {
  int64_t process = 0;
  std::string host;
  int64_t started = 0;
};

// Nothing when the file is empty or damaged, as between making it and writing it.
std::optional<Owner> read_owner(const fs::path& lock) {
  try {
    const Json json = Json::parse(read_text_file(lock), "lock");
    const Json* process = json.find("process");
    const Json* host = json.find("host");
    const Json* started = json.find("started");
    if (process == nullptr || host == nullptr || started == nullptr) return std::nullopt;
    return Owner{process->as_int("process"), host->as_string("host"), started->as_int("started")};
  } catch (const Error&) {
    return std::nullopt;
  }
}

[[noreturn]] void refuse_busy(const fs::path& target, const std::optional<Owner>& owner) {
  const std::string who = owner ? fmt::format("process {} on {} has been writing it for {}", owner->process,
                                              owner->host, age(std::max<int64_t>(0, unix_seconds() - owner->started)))
                                : "another process is writing it";
  throw Error(ErrorKind::kUsage,
              fmt::format("[output] {}: {}; wait for it or choose another name", target.string(), who));
}

}  // namespace

bool is_work_directory(const fs::path& path) { return path.filename().string().ends_with(kEnding); }

WorkDirectory::WorkDirectory(Setup setup) : setup_(std::move(setup)), path_(setup_.target.string() + kEnding) {
  make_directories(path_);
  take_lock();
  refuse_foreign_files();
  if (setup_.resume) load();
}

WorkDirectory::~WorkDirectory() {
  std::error_code error;
  const bool of_another_run = journal_ == nullptr && fs::exists(path_ / kJournal, error);
  if (units().empty() && !of_another_run) remove();
}

void WorkDirectory::take_lock() {
  const FileLock::Outcome outcome = lock_.take(path_ / kLock);
  if (outcome == FileLock::Outcome::kBusy) refuse_busy(setup_.target, read_owner(path_ / kLock));
  if (outcome == FileLock::Outcome::kUnknown) {
    // Process numbers mean nothing on other hosts, and they come again; here they are all there is.
    const std::optional<Owner> owner = read_owner(path_ / kLock);
    const bool here = owner && owner->host == host_name() && owner->process != process_id();
    if (here && !process_is_gone(owner->process)) refuse_busy(setup_.target, owner);
  }
  const Json text = Json::Object{{"process", process_id()}, {"host", host_name()}, {"started", unix_seconds()}};
  lock_.set_text(text.dump() + "\n");
}

void WorkDirectory::refuse_foreign_files() const {
  for (const std::string& name : names_in(path_)) {
    std::error_code error;
    if (is_ours(name) && fs::is_regular_file(fs::symlink_status(path_ / name, error))) continue;
    throw Error(ErrorKind::kUsage,
                fmt::format("[resume] {}: holds '{}', which Hesse does not write there; move it away, or choose "
                            "another output",
                            path_.string(), name));
  }
}

void WorkDirectory::load() {
  const fs::path marker = setup_.target / setup_.marker;
  state_ = read_work_state(path_, setup_.units, marker);
  const bool lost = state_.lost;
  const std::string differs = differences(state_.decides, setup_.identity.decides);
  if (is_published(state_, marker)) {
    // What an earlier run with other options left when it was done is of no use to this one.
    published_ =
        is_complete() &&
        differences(without_earlier_result(state_.decides), without_earlier_result(setup_.identity.decides)).empty();
    if (!published_) state_ = {};
  } else if (!differs.empty()) {
    if (!units().empty()) refuse_other_run(differs);
    state_ = {};
  }
  if (lost && !published_) {
    warnings_.push_back(fmt::format("{}: damaged or incomplete behind {}; what follows is done again", path_.string(),
                                    units().empty() ? "its beginning" : "'" + units().back().file + "'"));
  }
  sessions_before_ = state_.sessions;
  seconds_before_ = state_.seconds;
  if (units().empty() || published_) return;
  const std::string other = differences(state_.arithmetic, setup_.identity.arithmetic);
  if (other.empty()) return;
  warnings_.push_back(
      fmt::format("going on with other arithmetic, so last digits may not be those of a run in one piece: {}", other));
}

void WorkDirectory::refuse_other_run(const std::string& differs) const {
  throw Error(ErrorKind::kUsage,
              fmt::format("[resume] {} holds {} linears of another run: {}; go on as it began, or start afresh with "
                          "--no-resume",
                          path_.string(), linears_done(), differs));
}

void WorkDirectory::begin() {
  const fs::path journal = path_ / kJournal;
  if (state_.good_bytes == 0) {
    sync_path(path_.parent_path());  // else a power cut could take the directory with all that is synced inside
    Journal::create(journal, run_entry(setup_.identity).dump());
    journal_ = std::make_unique<Journal>(journal, read_journal(journal).good_bytes());
  } else {
    journal_ = std::make_unique<Journal>(journal, state_.good_bytes);
    journal_->append(session_entry(setup_.identity.arithmetic).dump());
  }
  std::set<std::string> kept = {kLock, kJournal};
  for (const Unit& unit : units()) kept.insert(unit.file);
  if (snapshot()) kept.insert(snapshot()->file);
  remove_files_but(kept);
}

const Unit* WorkDirectory::find(UnitPlace place) const {
  const auto found =
      std::find_if(units().begin(), units().end(), [&](const Unit& unit) { return unit.place == place; });
  return found == units().end() ? nullptr : &*found;
}

bool WorkDirectory::is_pending(UnitPlace place) const {
  const auto first = setup_.units.begin() + std::ssize(units());
  return std::find(first, setup_.units.end(), place) != setup_.units.end();
}

int64_t WorkDirectory::linears_done() const {
  int64_t count = 0;
  for (const Unit& unit : units()) count += std::ssize(unit.linears);
  return count;
}

void WorkDirectory::commit(Unit unit, const WriteFile& write) {
  if (journal_ == nullptr || is_complete() || unit.place != next())
    throw Error(ErrorKind::kInternal, fmt::format("[resume] layer {}, stage {} is committed out of order",
                                                  unit.place.layer, unit.place.stage));
  unit.file = unit_file(unit.place);
  unit.sum = put_file(unit.file, write);
  unit.seconds = watch_.seconds();
  journal_->append(unit_entry(unit).dump());
  state_.units.push_back(std::move(unit));
}

void WorkDirectory::save_snapshot(int64_t layers, const WriteFile& write) {
  Snapshot next{layers, snapshot_file(layers), {}};
  next.sum = put_file(next.file, write);
  journal_->append(snapshot_entry(next).dump());
  const std::optional<Snapshot> before = std::exchange(state_.snapshot, next);
  if (before && before->file != next.file) remove_file(path_ / before->file);
}

// Written aside, synced, renamed, the directory synced.
FileSum WorkDirectory::put_file(const std::string& name, const WriteFile& write) {
  const fs::path aside = path_ / (name + kPart);
  remove_file(aside);
  write(aside);
  const FileSum sum = sum_of_file(aside);
  rename_path(aside, path_ / name);
  sync_path(path_);
  return sum;
}

void WorkDirectory::note_result(const std::string& sha256) { journal_->append(result_entry(sha256).dump()); }

void WorkDirectory::remove_files_but(const std::set<std::string>& kept) {
  for (const std::string& name : names_in(path_)) {
    if (is_ours(name) && kept.count(name) == 0) remove_file(path_ / name);
  }
}

// The journal goes last: as long as it is there, whoever comes knows that the result is in its place.
bool WorkDirectory::remove() {
  try {
    remove_files_but({kLock, kJournal});
    journal_.reset();
    remove_files_but({kLock});
    remove_files_but({});
    return remove_empty_directory(path_);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace hesse
