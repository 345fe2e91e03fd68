// Runs that are stopped and gone on with, and those that must not be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "io/faulty_file_system.h"
#include "run/resume_testing.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(Resume, ShortWritesChangeNothing) {
  const auto expected = whole("");
  clear("");
  const FaultyFileSystem disk({.what = Fault::What::kShortWrites, .number = 100, .real_sync = false});
  run(options(""));
  expect_result(expected);
}

// Ends behind every unit, and goes on from every snapshot.
TEST_F(Resume, StoppedAgainAndAgain) {
  for (const char* flags : {"", "s", "r"}) {
    const auto expected = whole(flags);
    clear(flags);
    int64_t done = 0;
    int sessions = 0;
    for (; done < SmallModel::kLinears; ++sessions) {
      if (done + kLargestUnit >= SmallModel::kLinears) break;
      run_and_stop(options(flags), 1, flags);
      EXPECT_EQ(listener_.resumed.linears, done);
      EXPECT_LE(listener_.solved, kLargestUnit);
      done += listener_.solved;
      EXPECT_EQ(left_over(), std::set<std::string>{"out.hesse-work"});
    }
    const RunRecord record = run(options(flags), flags);
    EXPECT_EQ(record.resumed, sessions);
    EXPECT_GT(record.seconds_before, 0);
    expect_result(expected);
  }
}

TEST_F(Resume, ARunThatStopsBeforeItsFirstUnitLeavesNothing) {
  run_and_stop(options(""), 0);
  EXPECT_TRUE(left_over().empty());
}

TEST_F(Resume, SaysWhatDiffersAndStops) {
  run_and_stop(options(""), 5);
  const auto refusal = [&](auto change) {
    QuantizeOptions o = options("");
    change(o);
    const std::string message = message_of(ErrorKind::kUsage, [&] { run(o); });
    EXPECT_THAT(message, HasSubstr("--no-resume"));
    EXPECT_THAT(message, HasSubstr("holds 6 linears of another run"));
    return message;
  };
  EXPECT_THAT(refusal([](auto& o) { o.bits = 2; }), HasSubstr(": --bits was 4, now 2; go on"));
  const std::string both = refusal([](auto& o) {
    o.damping = 0.1;
    o.symmetric = false;
  });
  EXPECT_THAT(both, testing::AllOf(HasSubstr("--damp was 0.01, now 0.1"), HasSubstr("--sym was true, now false")));
  EXPECT_THAT(refusal([](auto& o) { o.seed = 5; }), HasSubstr("--seed was 0, now 5"));
  const std::string text = get_file(folder_ / "model.txt");
  put_file(folder_ / "model.txt", text + " more of it, and more again, so that other windows are taken");
  EXPECT_THAT(refusal([](auto&) {}), HasSubstr("the calibration text is another one"));
  put_file(folder_ / "model.txt", text);
  const std::string weights = get_file(folder_ / "model/model.safetensors");
  std::string other = weights;
  other[other.size() / 2] ^= 1;
  put_file(folder_ / "model/model.safetensors", other);
  EXPECT_THAT(refusal([](auto&) {}), HasSubstr("the model is another one"));
  put_file(folder_ / "model/model.safetensors", weights);

  QuantizeOptions afresh = options("");
  afresh.bits = 2;
  afresh.resume = false;
  run(afresh);
  EXPECT_EQ(listener_.resumed.linears, 0);
  EXPECT_EQ(left_over(), std::set<std::string>{"out"});
}

// What decides no tensor may change: where a run stops, its files, its threads.
TEST_F(Resume, GoesOnUnderOtherConditions) {
  const auto expected = whole("");
  clear("");
  run_and_stop(options(""), 5);
  QuantizeOptions o = options("");
  o.strict = true;
  o.max_early_loss = 1e9;
  o.disk = 1;
  o.threads = 2;
  run(o);
  EXPECT_THAT(listener_.warnings, testing::ElementsAre(HasSubstr("threads was 1, now 2")));
  EXPECT_EQ(get_file(folder_ / "out/model.safetensors"), expected.at("model.safetensors"));
}

// The same command must not get past what stopped it.
TEST_F(Resume, AFailedCheckFailsAgain) {
  QuantizeOptions o = options("");
  o.max_early_loss = 1e-12;
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { run(o); }), HasSubstr("[early loss]"));
  EXPECT_TRUE(left_over().empty());
  run_and_stop(options(""), 5);
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { run(o); }), HasSubstr("[early loss]"));
  run(options(""));
  EXPECT_EQ(listener_.resumed.linears, 6);
}

TEST_F(Resume, FilesThatAreNotOursAreLeftAlone) {
  fs::create_directory(folder_ / "out.hesse-work");
  put_file(folder_ / "out.hesse-work/thesis.txt", "precious");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { run(options("")); }), HasSubstr("holds 'thesis.txt'"));
  EXPECT_EQ(get_file(folder_ / "out.hesse-work/thesis.txt"), "precious");
}

TEST_F(Resume, AnOccupiedOutputIsRefusedBeforeTheWorkAndKeepsIt) {
  run_and_stop(options(""), 5);
  fs::create_directory(folder_ / "out");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { run(options("")); }), HasSubstr("exists already"));
  QuantizeOptions afresh = options("");
  afresh.resume = false;
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { run(afresh); }), HasSubstr("exists already"));
  fs::remove(folder_ / "out");
  run(options(""));
  EXPECT_EQ(listener_.resumed.linears, 6);
}

// A listener that starts the same run while this one is at work.
class StartsAnother : public Listener {
 public:
  explicit StartsAnother(QuantizeOptions options) : options_(std::move(options)) {}
  void on_linear(const LinearRecord&) override {
    if (!message.empty()) return;
    Listener quiet;
    message = message_of(ErrorKind::kUsage, [&] { quantize_with(options_, quiet, small_settings(false)); });
  }
  std::string message;

 private:
  QuantizeOptions options_;
};

TEST_F(Resume, TwoRunsOnOneOutput) {
  StartsAnother listener(options(""));
  quantize_with(options(""), listener, small_settings(false));
  EXPECT_THAT(listener.message, testing::MatchesRegex("\\[output\\] .*/out: process " + std::to_string(::getpid()) +
                                                      " on .* has been writing it for [0-9]+ s; wait for it or.*"));
  EXPECT_EQ(left_over(), std::set<std::string>{"out"});
}

}  // namespace
}  // namespace hesse
