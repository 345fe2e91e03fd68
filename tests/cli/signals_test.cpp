#include "cli/signals.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace hesse {
namespace {

// In a child process each: what is under test ends it.
void raise_and_tell(int number, const char* what) {
  raise(number);
  fprintf(stderr, "%s", stop_signalled() ? what : "no stop");
}

TEST(SignalsDeathTest, TheFirstAsksToStopTheSecondEndsTheProcess) {
  const int signals[] = {SIGINT, SIGTERM};
  for (const int first : signals) {
    for (const int second : signals) {
      const auto child = [=] {
        catch_signals();
        if (stop_signalled()) std::exit(1);
        raise_and_tell(first, "asked to stop");
        raise_and_tell(second, "still here");
      };
      EXPECT_EXIT(child(), testing::KilledBySignal(second), "^asked to stop$");
    }
  }
}

TEST(SignalsDeathTest, AnIgnoredSignalStaysIgnored) {
  const auto child = [] {
    signal(SIGINT, SIG_IGN);
    catch_signals();
    raise(SIGINT);
    std::exit(stop_signalled() ? 1 : 7);
  };
  EXPECT_EXIT(child(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace hesse
