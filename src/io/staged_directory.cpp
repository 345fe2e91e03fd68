#include "io/staged_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>
#include <vector>

#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartial = ".partial-";
constexpr std::string_view kOld = ".old-";
constexpr mode_t kNewDirectoryMode = 0777;  // less the umask

[[noreturn]] void refuse(const fs::path& path, const std::string& problem) {
  throw Error(ErrorKind::kUsage, fmt::format("[output] {}: {}", path.string(), problem));
}

[[noreturn]] void fail(const fs::path& path, const std::string& doing, const std::string& system) {
  throw Error(ErrorKind::kEnvironment, fmt::format("[output] {}: cannot {}: {}", path.string(), doing, system));
}

std::string system_text(int number) { return std::error_code(number, std::generic_category()).message(); }

// ".NAME.partial-PID" beside NAME.
fs::path sibling(const fs::path& target, std::string_view what, pid_t process) {
  return target.parent_path() / fmt::format(".{}{}{}", target.filename().string(), what, process);
}

// Absolute, without a slash at the end; a symbolic link to a directory becomes that directory, since rename() would
// replace the link.
fs::path real_target(const fs::path& given) {
  std::error_code error;
  fs::path target = fs::absolute(given, error).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  if (given.empty() || error || !target.has_filename()) refuse(given, "not a name for an output directory");
  if (!fs::is_symlink(fs::symlink_status(target, error))) return target;
  fs::path real = fs::canonical(target, error);
  if (error) refuse(target, fmt::format("a symbolic link that leads nowhere: {}", error.message()));
  return real;
}

bool exists_by_name(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

bool process_is_gone(pid_t process) { return ::kill(process, 0) != 0 && errno == ESRCH; }

struct Leftover {
  fs::path path;
  pid_t process = 0;
};

// Directories beside `target` named ".NAME" + `what` + PID.
std::vector<Leftover> find_leftovers(const fs::path& target, std::string_view what) {
  std::vector<Leftover> found;
  const std::string prefix = fmt::format(".{}{}", target.filename().string(), what);
  std::error_code error;
  for (fs::directory_iterator entry(target.parent_path(), error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (name.rfind(prefix, 0) != 0 || !fs::is_directory(entry->symlink_status(ignored))) continue;
    const char* first = name.data() + prefix.size();
    const char* last = name.data() + name.size();
    Leftover leftover{entry->path()};
    const auto parsed = std::from_chars(first, last, leftover.process);
    if (parsed.ec == std::errc() && parsed.ptr == last && leftover.process > 0) found.push_back(leftover);
  }
  return found;
}

enum class Lock { kTaken, kBusy };

// Process numbers mean nothing across containers that share a disk, and they come again; a lock is neither. Where the
// file system knows no locks, it counts as taken and the process number alone decides.
Lock lock_directory(const fs::path& path, int& descriptor) {
  descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0 || ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return Lock::kTaken;
  ::close(std::exchange(descriptor, -1));
  return Lock::kBusy;
}

void sync_tree(const fs::path& root) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(root, error), end; !error && entry != end; entry.increment(error)) {
    if (!entry->is_symlink()) sync_path(entry->path());
  }
  if (error) fail(root, "list", error.message());
  sync_path(root);
}

}  // namespace

StagedDirectory::StagedDirectory(const fs::path& target, bool overwrite, std::string_view marker)
    : target_(real_target(target)), marker_(marker), overwrite_(overwrite) {
  std::error_code error;
  fs::create_directories(target_.parent_path(), error);
  if (error) fail(target_.parent_path(), "create the directory", error.message());
  tidy_leftovers();
  require_target_free();
  create_staging();
}

StagedDirectory::~StagedDirectory() {
  std::error_code ignored;
  if (!staging_.empty()) fs::remove_all(staging_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

void StagedDirectory::tidy_leftovers() const {
  const auto abandoned = [](pid_t process) { return process == ::getpid() || process_is_gone(process); };
  std::error_code ignored;
  for (const Leftover& partial : find_leftovers(target_, kPartial)) {
    int descriptor = -1;
    if (lock_directory(partial.path, descriptor) == Lock::kBusy) {
      refuse(target_, fmt::format("process {} is writing it at this moment (in {}); wait for it or choose another name",
                                  partial.process, partial.path.filename().string()));
    }
    if (abandoned(partial.process)) fs::remove_all(partial.path, ignored);
    if (descriptor >= 0) ::close(descriptor);
  }
  // A run that was killed between the two renames of publish() left no target; one killed later, a needless copy.
  for (const Leftover& old : find_leftovers(target_, kOld)) {
    if (!abandoned(old.process)) continue;
    if (exists_by_name(target_)) {
      fs::remove_all(old.path, ignored);
    } else {
      fs::rename(old.path, target_, ignored);
    }
  }
}

void StagedDirectory::require_target_free() const {
  struct stat status {};
  if (::lstat(target_.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
    fail(target_, "examine", system_text(errno));
  }
  if (!S_ISDIR(status.st_mode)) refuse(target_, "exists and is not a directory; choose another name");
  if (!overwrite_) refuse(target_, "exists already; choose another name or allow overwriting");
  struct stat parent {};
  if (::stat(target_.parent_path().c_str(), &parent) == 0 && parent.st_dev != status.st_dev) {
    refuse(target_, "a mount point, which cannot be replaced; choose a directory inside it");
  }
  std::error_code error;
  if (fs::is_regular_file(target_ / marker_, error)) return;
  if (fs::is_empty(target_, error) && !error) return;
  refuse(target_, fmt::format("holds files but no {}, so it is not a result of Hesse and is not overwritten; "
                              "choose another name or remove it yourself",
                              marker_));
}

void StagedDirectory::create_staging() {
  const fs::path staging = sibling(target_, kPartial, ::getpid());
  if (::mkdir(staging.c_str(), kNewDirectoryMode) != 0) {
    fail(staging, "create the directory", system_text(errno) + "; choose an output directory that you may write");
  }
  staging_ = staging;
  lock_directory(staging_, lock_);
}

void StagedDirectory::publish() {
  if (staging_.empty()) throw Error(ErrorKind::kInternal, "[output] " + target_.string() + ": published twice");
  sync_tree(staging_);
  fs::path old;
  std::error_code error;
  try {
    require_target_free();
    old = move_old_away();
    fs::rename(staging_, target_, error);
    if (error) fail(target_, "be renamed from " + staging_.filename().string(), error.message());
  } catch (const Error& problem) {
    std::error_code ignored;
    if (!old.empty()) fs::rename(old, target_, ignored);
    throw Error(problem.kind(),
                fmt::format("{}; the finished result is kept in {}", problem.what(), keep_result().string()));
  }
  staging_.clear();
  sync_path(target_.parent_path());
  if (!old.empty()) fs::remove_all(old, error);  // what stays of it is tidied by the next run
}

// The path it has now; empty when there was none.
fs::path StagedDirectory::move_old_away() const {
  if (!exists_by_name(target_)) return {};
  fs::path old = sibling(target_, kOld, ::getpid());
  std::error_code error;
  fs::rename(target_, old, error);
  if (error) fail(target_, "move the old directory away", error.message());
  return old;
}

// Under a name that no later run tidies away: it may have cost hours.
fs::path StagedDirectory::keep_result() {
  const fs::path staging = std::exchange(staging_, {});
  fs::path kept = target_.parent_path() / fmt::format("{}.kept-{}", target_.filename().string(), ::getpid());
  std::error_code error;
  fs::rename(staging, kept, error);
  return error ? staging : kept;
}

}  // namespace hesse
