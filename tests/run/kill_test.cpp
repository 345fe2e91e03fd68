// Runs that are killed, cut from power or failed by the disk at each of their calls on the file system, and gone on
// with: the result is that of a run in one piece, byte for byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "io/faulty_file_system.h"
#include "run/resume_testing.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class AtEveryCall : public Resume {
 protected:
  // A process of its own that runs into a fault.
  struct Outcome {
    int code = -1;
    int64_t told = 0;   // linears
    int64_t calls = 0;  // on the file system, of a run that came to its end
  };
  Outcome run_until(const std::string& what, int64_t call, int number, const std::string& flags) const {
    const std::string log = (folder_ / "log").string();
    const std::string command = std::string("OMP_WAIT_POLICY=passive '") + HESSE_QUANTIZE_UNTIL + "' '" +
                                (folder_ / "model").string() + "' '" + (folder_ / "out").string() + "' " + what + " " +
                                std::to_string(call) + " " + std::to_string(number) + " '" + flags + "' >'" + log +
                                "' 2>'" + log + ".errors'";
    const int status = std::system(command.c_str());
    Outcome outcome;
    if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
    std::istringstream lines(get_file(log));
    for (std::string line; std::getline(lines, line);) {
      if (line == "linear") ++outcome.told;
      outcome.calls = std::atoll(line.c_str());
    }
    return outcome;
  }

  // The same command again. A run that ended between the last two calls of all has left nothing to go on with, and
  // nothing to do.
  void go_on(const Outcome& before, const std::string& flags, const std::map<std::string, std::string>& expected) {
    const bool complete =
        fs::exists(folder_ / "out/model.safetensors") && !fs::exists(folder_ / "out.hesse-work/journal");
    if (complete && !has(flags, 'o') && !has(flags, 'd')) {
      EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { run(options(flags), flags); }), HasSubstr("exists already"));
      return expect_result(expected);
    }
    const RunRecord record = run(options(flags), flags);
    EXPECT_THAT(listener_.warnings, testing::Each(testing::Not(HasSubstr("hesse-work"))));  // nothing was damaged
    EXPECT_EQ(listener_.resumed.linears + listener_.solved, linears_ / (has(flags, 'd') ? 2 : 1));
    EXPECT_EQ(std::ssize(record.linears), linears_);
    // At most the unit under way is solved again.
    if (!complete) {
      EXPECT_GE(listener_.resumed.linears, before.told - kLargestUnit);
    }
    expect_result(expected);
  }

  // Once for each call: the process ends there as `what` says, and the run is gone on with. Returns their number.
  int64_t end_at_every_call(const std::string& what, const std::string& flags, int64_t step = 1) {
    const std::map<std::string, std::string> expected = whole(flags);
    clear(flags);
    const int64_t calls = run_until(what == "power" ? "power" : "none", 0, 0, flags).calls;
    for (int64_t call = 1; call <= calls && !HasFailure(); call += step) {
      SCOPED_TRACE(what + " at call " + std::to_string(call) + " of " + std::to_string(calls));
      clear(flags);
      const Outcome outcome = run_until(what, call, 0, flags);
      EXPECT_EQ(outcome.code, kKilled) << get_file(folder_ / "log.errors");
      go_on(outcome, flags, expected);
    }
    std::printf("%s: %lld calls, every %lld\n", what.c_str(), static_cast<long long>(calls),
                static_cast<long long>(step));
    return calls;
  }

  // The same with an error in place of the end. In this process, which survives it.
  int64_t fail_at_every_call(const Fault& fault, const std::string& flags) {
    const std::map<std::string, std::string> expected = whole(flags);
    for (int64_t call = 1;; ++call) {
      SCOPED_TRACE("errno " + std::to_string(fault.number) + " at call " + std::to_string(call));
      clear(flags);
      bool reached = false;
      {
        Fault here = fault;
        here.call = call;
        const FaultyFileSystem disk(here);
        const std::string message = error_or_none(flags);
        reached = disk.calls() >= call;
        // What tidies up may fail unnoticed; then the result is there.
        if (message == "none") {
          EXPECT_TRUE(fs::exists(folder_ / "out/model.safetensors"));
        }
      }
      if (!reached || HasFailure()) return call - 1;
      for (const std::string& name : left_over()) {
        if (name.starts_with("out.kept-")) fs::remove_all(folder_ / name);  // its message names it
      }
      const FaultyFileSystem disk({.real_sync = false});
      go_on({}, flags, expected);
    }
  }
  std::string error_or_none(const std::string& flags) {
    try {
      run(options(flags), flags);
      return "none";
    } catch (const Error& error) {
      EXPECT_EQ(exit_code(error.kind()), 4) << error.what();
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
      return error.what();
    }
  }
};

TEST_F(AtEveryCall, KilledInFrontOfEveryCall) { EXPECT_GT(end_at_every_call("before", "s"), 250); }

TEST_F(AtEveryCall, KilledInTheMidstOfWrites) { EXPECT_GT(end_at_every_call("inside", "o", 3), 250); }

TEST_F(AtEveryCall, CutFromPowerAtEveryCall) { EXPECT_GT(end_at_every_call("power", "s"), 250); }

TEST_F(AtEveryCall, CutFromPowerWhileAResultIsReplaced) { EXPECT_GT(end_at_every_call("power", "o", 4), 250); }

// A trained model of six layers: all that differs is its size, so a sample will do.
TEST_F(AtEveryCall, TheDemoModelIsKilledHereAndThere) {
  const fs::path demo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";
  fs::remove_all(folder_ / "model");
  fs::copy(demo, folder_ / "model");
  put_file(folder_ / "model.txt", get_file(demo / "calibration.txt").substr(0, 4000));
  linears_ = 42;
  EXPECT_GT(end_at_every_call("before", "s", 181), 500);
  EXPECT_GT(end_at_every_call("power", "", 211), 500);
}

TEST_F(AtEveryCall, RoundingIsKilledToo) { EXPECT_GT(end_at_every_call("before", "r", 5), 200); }

TEST_F(AtEveryCall, ARedoIsKilledAndCutFromPowerToo) {
  EXPECT_GT(end_at_every_call("behind", "d"), 150);
  EXPECT_GT(end_at_every_call("power", "d", 5), 150);
}

TEST_F(AtEveryCall, EveryCallFailsOnce) {
  EXPECT_GT(fail_at_every_call({.what = Fault::What::kFail, .number = EIO, .real_sync = false}, "so"), 250);
}

TEST_F(AtEveryCall, TheDiskIsFullFromEveryCallOn) {
  EXPECT_GT(fail_at_every_call({.what = Fault::What::kFailAlways, .number = ENOSPC, .real_sync = false}, "s"), 250);
}

}  // namespace
}  // namespace hesse
