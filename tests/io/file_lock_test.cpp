#include "io/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/faulty_file_system.h"
#include "io/test_files.h"

namespace hesse {
namespace {

using Outcome = FileLock::Outcome;

TEST(FileLock, IsHeldByOneAtATime) {
  const TestDirectory directory;
  FileLock first;
  ASSERT_EQ(first.take(directory / "lock"), Outcome::kTaken);
  first.set_text("a longer text");
  first.set_text("mine");
  EXPECT_EQ(get_file(directory / "lock"), "mine");
  FileLock second;
  EXPECT_EQ(second.take(directory / "lock"), Outcome::kBusy);
  EXPECT_EQ(get_file(directory / "lock"), "mine");
  first.release();
  EXPECT_EQ(second.take(directory / "lock"), Outcome::kTaken);
}

TEST(FileLock, EndsWithTheProcess) {
  const TestDirectory directory;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    FileLock lock;
    if (lock.take(directory / "lock") == Outcome::kTaken && ::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  FileLock lock;
  EXPECT_EQ(lock.take(directory / "lock"), Outcome::kBusy);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(lock.take(directory / "lock"), Outcome::kTaken);
  ::close(ready[0]);
  ::close(ready[1]);
}

// Removes the file in front of the second call of open(): the owner has gone away between our opening and our locking.
class RemovedMeanwhile : public FaultyFileSystem {
 public:
  explicit RemovedMeanwhile(std::string path) : path_(std::move(path)) {}
  int open(const char* path, int flags, mode_t mode) override {
    const int descriptor = FaultyFileSystem::open(path, flags, mode);
    if (++opened_ == 1) ::unlink(path_.c_str());
    return descriptor;
  }
  int opened() const { return opened_; }

 private:
  std::string path_;
  int opened_ = 0;
};

TEST(FileLock, ALockOnAFileThatIsGoneIsTakenAgain) {
  const TestDirectory directory;
  FileLock lock;
  RemovedMeanwhile disk((directory / "lock").string());
  EXPECT_EQ(lock.take(directory / "lock"), Outcome::kTaken);
  EXPECT_EQ(disk.opened(), 2);
  FileLock other;
  EXPECT_EQ(other.take(directory / "lock"), Outcome::kBusy);
}

TEST(FileLock, FailuresNameTheFile) {
  const TestDirectory directory;
  FileLock lock;
  EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { lock.take(directory / "absent/lock"); }),
              testing::HasSubstr("absent/lock: cannot create"));
  ASSERT_EQ(lock.take(directory / "lock"), Outcome::kTaken);
  for (int64_t call = 1; call <= 2; ++call) {
    const FaultyFileSystem disk({.what = Fault::What::kFail, .call = call, .number = EIO});
    EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { lock.set_text("x"); }), testing::HasSubstr("lock: cannot"));
  }
}

}  // namespace
}  // namespace hesse
