// Where words go. Results go to standard output; progress, warnings and the log to standard error. Progress is one line
// that is drawn again and again on a terminal, and one plain line for each step elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "cli/flags.h"
#include "hesse/events.h"

namespace hesse {

class Console : public Listener {
 public:
  explicit Console(const Manner& manner);
  ~Console() override;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void on_progress(const Progress& progress) override;
  void on_warning(std::string_view text) override;
  bool stop_requested() override;

  void note(std::string_view line);    // to the log; not under --quiet
  void detail(std::string_view line);  // to the log; under --verbose
  void output(std::string_view text);  // to standard output; Error(kEnvironment) when it cannot be written
  // A summary for people: to standard output, or to standard error when that is promised to --json. Not under --quiet.
  void summary(std::string_view text);

  double elapsed() const;
  const Manner& manner() const { return manner_; }
  bool on_terminal() const { return terminal_; }

 protected:
  void erase_progress();
  // What a plain log shows when a step begins; a command that has a better line for the step before returns false.
  virtual bool wants_plain_progress() { return true; }
  const std::string& step() const { return step_; }  // the latest Progress.what
  double seconds_left() const { return seconds_left_; }

 private:
  using Clock = std::chrono::steady_clock;
  void draw(const Progress& progress);
  void acknowledge_stop();

  Manner manner_;
  bool terminal_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_draw_{};
  std::string step_;
  double seconds_left_ = -1;
  int drawn_ = 0;  // columns of the progress line that stands on the terminal
  bool stopping_ = false;
};

// One line on standard error: "hesse: error: ...".
void print_error(std::string_view text);
// One line for each environment variable that hurts; not under --quiet.
void warn_about_environment(Console& console, int threads_asked);

}  // namespace hesse
