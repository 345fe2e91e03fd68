#include "cli/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cli/environment.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr int kUsualWidth = 80;
constexpr double kSecondsBetweenDraws = 0.1;

// Asked each time: people resize their windows.
int terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUsualWidth;
  return size.ws_col;
}

bool stderr_is_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (term == nullptr || std::strcmp(term, "dumb") != 0);
}

// A log that cannot be written is no reason to end a run.
void log(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace

Console::Console(const Manner& manner) : manner_(manner), terminal_(stderr_is_terminal()) {}

Console::~Console() { erase_progress(); }

double Console::elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

void Console::on_progress(const Progress& progress) {
  const bool new_step = progress.what != step_;
  step_ = progress.what;
  seconds_left_ = progress.seconds_left;
  acknowledge_stop();
  if (manner_.quiet) return;
  if (terminal_) {
    const double pause = std::chrono::duration<double>(Clock::now() - last_draw_).count();
    if (new_step || pause >= kSecondsBetweenDraws) draw(progress);
  } else if (new_step && wants_plain_progress()) {
    log(format_progress_line(progress, elapsed()) + '\n');
  }
}

// Spaces rather than escape sequences clear what is left of a longer line. The last column stays free: some terminals
// begin a new line when it is filled.
void Console::draw(const Progress& progress) {
  const std::string line = format_progress(progress, elapsed(), terminal_width() - 1);
  const int width = columns(line);
  log('\r' + line + std::string(static_cast<size_t>(std::max(0, drawn_ - width)), ' '));
  drawn_ = width;
  last_draw_ = Clock::now();
}

void Console::erase_progress() {
  if (drawn_ == 0) return;
  const int width = std::min(drawn_, terminal_width() - 1);
  log('\r' + std::string(static_cast<size_t>(std::max(0, width)), ' ') + '\r');
  drawn_ = 0;
  last_draw_ = {};  // draw again at the next occasion
}

void Console::on_warning(std::string_view text) { note(fmt::format("hesse: warning: {}", text)); }

bool Console::stop_requested() {
  acknowledge_stop();
  return stop_signalled();
}

// The step may take a while: whoever has pressed Ctrl-C should see that it was noticed.
void Console::acknowledge_stop() {
  if (!stop_signalled() || stopping_) return;
  stopping_ = true;
  note("stopping after this step; press Ctrl-C again to stop at once");
}

void Console::note(std::string_view line) {
  if (manner_.quiet) return;
  erase_progress();
  log(fmt::format("{}\n", line));
}

void Console::detail(std::string_view line) {
  if (manner_.verbose) note(line);
}

void Console::output(std::string_view text) {
  erase_progress();
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw Error(ErrorKind::kEnvironment, fmt::format("[output] standard output: {}", std::strerror(errno)));
  }
}

void Console::summary(std::string_view text) {
  if (manner_.quiet) return;
  if (!manner_.json) return output(text);
  erase_progress();
  log(text);
}

void print_error(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  log(fmt::format("hesse: error: {}\n", line));
}

void warn_about_environment(Console& console, int threads_asked) {
  const auto get = [](const char* name) -> const char* { return std::getenv(name); };
  for (const std::string& line : environment_warnings(threads_asked, get)) console.on_warning(line);
}

}  // namespace hesse
