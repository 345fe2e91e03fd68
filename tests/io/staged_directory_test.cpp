#include "io/staged_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/rng.h"
#include "io/file.h"
#include "io/test_files.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using Names = std::set<std::string>;

constexpr const char* kMarker = "hesse-run.json";

// What a run writes: the same word in three files.
void fill(const fs::path& directory, const std::string& word) {
  write_text_file(directory / "weights", word);
  write_text_file(directory / "config.json", word);
  write_text_file(directory / kMarker, word);
}

std::string content(const fs::path& directory) {
  const std::string word = get_file(directory / kMarker);
  EXPECT_EQ(get_file(directory / "weights"), word);
  EXPECT_EQ(get_file(directory / "config.json"), word);
  return word;
}

void put_result(const fs::path& directory, const std::string& word) {
  fs::create_directory(directory);
  fill(directory, word);
}

std::string refusal(const fs::path& target, bool overwrite, ErrorKind kind = ErrorKind::kUsage) {
  return message_of(kind, [&] { StagedDirectory staged(target, overwrite, kMarker); });
}

// The number of a process that has just ended.
pid_t dead_process() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  return child;
}

std::string leftover(const char* what, pid_t process) {
  return ".out." + std::string(what) + "-" + std::to_string(process);
}

TEST(StagedDirectory, AppearsWholeOnPublish) {
  const TestDirectory directory;
  {
    StagedDirectory staged(directory / "out", false, kMarker);
    EXPECT_EQ(staged.path().filename(), leftover("partial", ::getpid()));
    fill(staged.path(), "new");
    fs::create_directory(staged.path() / "sub");
    write_text_file(staged.path() / "sub" / "f", "x");
    EXPECT_FALSE(fs::exists(directory / "out"));
    staged.publish();
    EXPECT_THAT(message_of(ErrorKind::kInternal, [&] { staged.publish(); }), HasSubstr("published twice"));
  }
  EXPECT_EQ(content(directory / "out"), "new");
  EXPECT_EQ(get_file(directory / "out" / "sub" / "f"), "x");
  EXPECT_EQ(directory.names(), Names{"out"});
}

TEST(StagedDirectory, UnpublishedLeavesNothing) {
  const TestDirectory directory;
  {
    StagedDirectory staged(directory / "out", false, kMarker);
    fill(staged.path(), "new");
  }
  EXPECT_EQ(directory.names(), Names{});
}

TEST(StagedDirectory, MakesMissingParentsAndTakesASlashAtTheEnd) {
  const TestDirectory directory;
  StagedDirectory staged((directory / "a/b/../c/").string() + "/", false, kMarker);
  fill(staged.path(), "new");
  staged.publish();
  EXPECT_EQ(content(directory / "a" / "c"), "new");
}

TEST(StagedDirectory, ReplacesAResultOnlyWhenAllowed) {
  const TestDirectory directory;
  put_result(directory / "out", "old");
  EXPECT_THAT(refusal(directory / "out", false), AllOf(HasSubstr("out: exists already"), HasSubstr("overwrit")));
  EXPECT_EQ(content(directory / "out"), "old");
  {
    StagedDirectory staged(directory / "out", true, kMarker);
    fill(staged.path(), "new");
    EXPECT_EQ(content(directory / "out"), "old");
    staged.publish();
  }
  EXPECT_EQ(content(directory / "out"), "new");
  EXPECT_EQ(directory.names(), Names{"out"});
}

TEST(StagedDirectory, AnAbandonedReplacementLeavesTheOldResult) {
  const TestDirectory directory;
  put_result(directory / "out", "old");
  {
    StagedDirectory staged(directory / "out", true, kMarker);
    fill(staged.path(), "new");
  }
  EXPECT_EQ(content(directory / "out"), "old");
  EXPECT_EQ(directory.names(), Names{"out"});
}

TEST(StagedDirectory, AnEmptyDirectoryIsReplacedWhenAllowed) {
  const TestDirectory directory;
  fs::create_directory(directory / "out");
  EXPECT_THAT(refusal(directory / "out", false), HasSubstr("exists already"));
  StagedDirectory staged(directory / "out", true, kMarker);
  fill(staged.path(), "new");
  staged.publish();
  EXPECT_EQ(content(directory / "out"), "new");
  EXPECT_EQ(directory.names(), Names{"out"});
}

TEST(StagedDirectory, NeverReplacesWhatHesseDidNotWrite) {
  const TestDirectory directory;
  fs::create_directory(directory / "model");
  put_file(directory / "model" / "model.safetensors", "precious");
  put_file(directory / "file", "precious");
  fs::create_directories(directory / "fake" / kMarker);  // a directory of that name is no marker
  fs::create_symlink("nowhere", directory / "dangling");
  for (const bool overwrite : {false, true}) {
    EXPECT_NE(refusal(directory / "model", overwrite), "no error");
    EXPECT_THAT(refusal(directory / "file", overwrite), HasSubstr("not a directory"));
    EXPECT_NE(refusal(directory / "fake", overwrite), "no error");
    EXPECT_THAT(refusal(directory / "dangling", overwrite), HasSubstr("leads nowhere"));
    EXPECT_THAT(refusal("/", overwrite), HasSubstr("not a name"));
    EXPECT_THAT(refusal("", overwrite), HasSubstr("not a name"));
  }
  EXPECT_THAT(refusal(directory / "model", true), AllOf(HasSubstr("no hesse-run.json"), HasSubstr("not overwritten")));
  EXPECT_EQ(get_file(directory / "model" / "model.safetensors"), "precious");
  EXPECT_EQ(get_file(directory / "file"), "precious");
  EXPECT_EQ(directory.names(), (Names{"dangling", "fake", "file", "model"}));
}

TEST(StagedDirectory, AMountPointIsRefusedBeforeTheWork) {
  EXPECT_THAT(refusal("/proc", true), HasSubstr("mount point"));
}

TEST(StagedDirectory, ASymbolicLinkStandsForItsDirectory) {
  const TestDirectory directory;
  fs::create_directory(directory / "disk");
  put_result(directory / "disk" / "real", "old");
  fs::create_directory_symlink(directory / "disk" / "real", directory / "out");
  StagedDirectory staged(directory / "out", true, kMarker);
  EXPECT_EQ(staged.path().parent_path(), fs::canonical(directory / "disk"));
  fill(staged.path(), "new");
  staged.publish();
  EXPECT_TRUE(fs::is_symlink(directory / "out"));
  EXPECT_EQ(content(directory / "disk" / "real"), "new");
}

TEST(StagedDirectory, AParentThatCannotBeWrittenIsTheEnvironmentsFault) {
  const TestDirectory directory;
  put_file(directory / "file", "x");
  EXPECT_THAT(refusal(directory / "file" / "out", false, ErrorKind::kEnvironment),
              AllOf(HasSubstr("[output]"), HasSubstr("Not a directory")));
  EXPECT_THAT(refusal("/proc/out", false, ErrorKind::kEnvironment), HasSubstr("cannot create the directory"));
}

TEST(StagedDirectory, TidiesWhatDeadProcessesLeftAndNothingElse) {
  const TestDirectory directory;
  const pid_t dead = dead_process();
  const std::string other = ".other.partial-" + std::to_string(dead);
  const std::string linked = ".out.partial-" + std::to_string(dead + 1);
  put_result(directory / leftover("partial", dead), "half");
  put_result(directory / leftover("partial", 1), "alive");  // process 1 always is
  put_result(directory / leftover("partial", ::getpid()), "same number, earlier process");
  put_result(directory / other, "of another target");
  put_result(directory / ".out.partial-12x", "no number");
  put_file(directory / ".out.partial-99999999", "a file");
  fs::create_directory_symlink(other, directory / linked);
  {
    StagedDirectory staged(directory / "out", false, kMarker);
    EXPECT_TRUE(fs::is_empty(staged.path()));
  }
  EXPECT_EQ(directory.names(),
            (Names{leftover("partial", 1), other, ".out.partial-12x", ".out.partial-99999999", linked}));
  EXPECT_EQ(content(directory / other), "of another target");
}

TEST(StagedDirectory, PutsBackATargetThatADeadProcessMovedAway) {
  const TestDirectory directory;
  const pid_t dead = dead_process();
  put_result(directory / leftover("old", dead), "old");
  put_result(directory / leftover("partial", dead), "half");
  EXPECT_THAT(refusal(directory / "out", false), HasSubstr("exists already"));
  EXPECT_EQ(content(directory / "out"), "old");
  EXPECT_EQ(directory.names(), Names{"out"});

  // With the target in place, the one moved away is needless.
  put_result(directory / leftover("old", dead), "older");
  put_result(directory / leftover("old", 1), "of a living process");
  { StagedDirectory staged(directory / "out", true, kMarker); }
  EXPECT_EQ(content(directory / "out"), "old");
  EXPECT_EQ(directory.names(), (Names{leftover("old", 1), "out"}));
}

TEST(StagedDirectory, TwoRunsForOneTargetAreRefused) {
  const TestDirectory directory;
  const StagedDirectory first(directory / "out", false, kMarker);
  EXPECT_THAT(refusal(directory / "out", false), HasSubstr("process " + std::to_string(::getpid()) + " is writing it"));
  EXPECT_TRUE(fs::exists(first.path()));
  const StagedDirectory elsewhere(directory / "out2", false, kMarker);
}

TEST(StagedDirectory, ATargetThatAppearsMeanwhileDoesNotCostTheResult) {
  const TestDirectory directory;
  const std::string kept = "out.kept-" + std::to_string(::getpid());
  for (const bool overwrite : {false, true}) {
    {
      StagedDirectory staged(directory / "out", overwrite, kMarker);
      fill(staged.path(), "new");
      fs::create_directory(directory / "out");
      put_file(directory / "out" / "thesis.txt", "precious");
      EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { staged.publish(); }),
                  AllOf(HasSubstr("kept in"), HasSubstr(kept)));
    }
    EXPECT_EQ(get_file(directory / "out" / "thesis.txt"), "precious");
    EXPECT_EQ(content(directory / kept), "new");
    EXPECT_EQ(directory.names(), (Names{"out", kept}));
    fs::remove_all(directory / "out");
    fs::remove_all(directory / kept);
  }
}

// Writes "new" over whatever is there, again and again, until killed.
[[noreturn]] void replace_until_killed(const fs::path& target) {
  for (int round = 0;; ++round) {
    try {
      StagedDirectory staged(target, true, kMarker);
      fill(staged.path(), std::to_string(round));
      staged.publish();
    } catch (...) {
      ::_exit(1);
    }
  }
}

TEST(StagedDirectory, AKilledRunNeverLeavesAHalfResult) {
  const TestDirectory directory;
  const uint64_t seed = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  put_result(directory / "out", "first");
  for (int i = 0; i < 15; ++i) {
    const pid_t child = ::fork();
    if (child == 0) replace_until_killed(directory / "out");
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + rng.below(100000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    { StagedDirectory next(directory / "out", true, kMarker); }  // tidies
    EXPECT_NE(content(directory / "out"), "");
    EXPECT_EQ(directory.names(), Names{"out"});
  }
}

TEST(StagedDirectory, ARunInAnotherProcessIsNoticedUntilItDies) {
  const TestDirectory directory;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const StagedDirectory staged(directory / "out", false, kMarker);
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THAT(refusal(directory / "out", false), HasSubstr("process " + std::to_string(child) + " is writing it"));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  { StagedDirectory staged(directory / "out", false, kMarker); }
  EXPECT_EQ(directory.names(), Names{});
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace hesse
