#include "io/staged_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <system_error>
#include <utility>
#include <vector>

#include "base/process.h"
#include "hesse/error.h"
#include "io/file.h"
#include "io/file_system.h"

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

bool exists_by_name(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

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

void tidy_leftovers(const fs::path& target) {
  const auto abandoned = [](pid_t process) { return process == ::getpid() || process_is_gone(process); };
  for (const Leftover& partial : find_leftovers(target, kPartial)) {
    int descriptor = -1;
    if (lock_directory(partial.path, descriptor) == Lock::kBusy) {
      refuse(target, fmt::format("process {} is writing it at this moment (in {}); wait for it or choose another name",
                                 partial.process, partial.path.filename().string()));
    }
    if (abandoned(partial.process)) remove_tree(partial.path);
    if (descriptor >= 0) ::close(descriptor);
  }
  // A run that was killed between the two renames of publish() left no target; one killed later, a needless copy.
  for (const Leftover& old : find_leftovers(target, kOld)) {
    if (!abandoned(old.process)) continue;
    if (exists_by_name(target)) {
      remove_tree(old.path);
    } else {
      file_system().rename(old.path.c_str(), target.c_str());
    }
  }
}

void require_target_free(const fs::path& target, bool overwrite, std::string_view marker) {
  struct stat status {};
  if (::lstat(target.c_str(), &status) != 0) {
    if (errno == ENOENT) return;
    fail(target, "examine", system_text(errno));
  }
  if (!S_ISDIR(status.st_mode)) refuse(target, "exists and is not a directory; choose another name");
  if (!overwrite) refuse(target, "exists already; choose another name or allow overwriting");
  struct stat parent {};
  if (::stat(target.parent_path().c_str(), &parent) == 0 && parent.st_dev != status.st_dev) {
    refuse(target, "a mount point, which cannot be replaced; choose a directory inside it");
  }
  std::error_code error;
  if (fs::is_regular_file(target / marker, error)) return;
  if (fs::is_empty(target, error) && !error) return;
  refuse(target, fmt::format("holds files but no {}, so it is not a result of Hesse and is not overwritten; "
                             "choose another name or remove it yourself",
                             marker));
}

}  // namespace

fs::path output_path(const fs::path& given) {
  std::error_code error;
  fs::path target = fs::absolute(given, error).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  if (given.empty() || error || !target.has_filename()) refuse(given, "not a name for an output directory");
  if (!fs::is_symlink(fs::symlink_status(target, error))) return target;
  fs::path real = fs::canonical(target, error);
  if (error) refuse(target, fmt::format("a symbolic link that leads nowhere: {}", error.message()));
  return real;
}

void settle_output(const fs::path& target) { tidy_leftovers(output_path(target)); }

void require_output_free(const fs::path& target, bool overwrite, std::string_view marker) {
  const fs::path path = output_path(target);
  tidy_leftovers(path);
  require_target_free(path, overwrite, marker);
}

StagedDirectory::StagedDirectory(const fs::path& target, bool overwrite, std::string_view marker)
    : target_(output_path(target)), marker_(marker), overwrite_(overwrite) {
  make_directories(target_.parent_path());
  tidy_leftovers(target_);
  require_target_free(target_, overwrite_, marker_);
  create_staging();
}

StagedDirectory::~StagedDirectory() {
  if (!staging_.empty()) remove_tree(staging_);
  if (lock_ >= 0) ::close(lock_);
}

void StagedDirectory::create_staging() {
  const fs::path staging = sibling(target_, kPartial, ::getpid());
  if (file_system().mkdir(staging.c_str(), kNewDirectoryMode) != 0) {
    fail(staging, "create the directory", system_text(errno) + "; choose an output directory that you may write");
  }
  staging_ = staging;
  lock_directory(staging_, lock_);
}

void StagedDirectory::publish() {
  if (staging_.empty()) throw Error(ErrorKind::kInternal, "[output] " + target_.string() + ": published twice");
  sync_tree(staging_);
  fs::path old;
  try {
    require_target_free(target_, overwrite_, marker_);
    old = move_old_away();
    if (file_system().rename(staging_.c_str(), target_.c_str()) != 0)
      fail(target_, "be renamed from " + staging_.filename().string(), system_text(errno));
  } catch (const Error& problem) {
    if (!old.empty()) file_system().rename(old.c_str(), target_.c_str());
    throw Error(problem.kind(),
                fmt::format("{}; the finished result is kept in {}", problem.what(), keep_result().string()));
  }
  staging_.clear();
  sync_path(target_.parent_path());
  if (!old.empty()) remove_tree(old);  // what stays of it is tidied by the next run
}

// The path it has now; empty when there was none.
fs::path StagedDirectory::move_old_away() const {
  if (!exists_by_name(target_)) return {};
  fs::path old = sibling(target_, kOld, ::getpid());
  if (file_system().rename(target_.c_str(), old.c_str()) != 0)
    fail(target_, "move the old directory away", system_text(errno));
  return old;
}

// Under a name that no later run tidies away: it may have cost hours.
fs::path StagedDirectory::keep_result() {
  const fs::path staging = std::exchange(staging_, {});
  fs::path kept = target_.parent_path() / fmt::format("{}.kept-{}", target_.filename().string(), ::getpid());
  return file_system().rename(staging.c_str(), kept.c_str()) == 0 ? kept : staging;
}

}  // namespace hesse
