#include "cli/signals.h"

#include <signal.h>

namespace hesse {
namespace {

volatile sig_atomic_t stop = 0;

extern "C" void on_signal(int) {
  stop = 1;
  // The next one of either kind finds no handler and ends the process.
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
}

void catch_signal(int number) {
  struct sigaction old {};
  if (sigaction(number, nullptr, &old) == 0 && old.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

}  // namespace

void catch_signals() {
  catch_signal(SIGINT);
  catch_signal(SIGTERM);
}

bool stop_signalled() { return stop != 0; }

void ignore_closed_pipes() { signal(SIGPIPE, SIG_IGN); }

}  // namespace hesse
