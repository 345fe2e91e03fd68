#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hesse {
namespace {

constexpr int kWidestBar = 40;
constexpr int kNarrowestBar = 10;
constexpr int kKeyColumn = 16;
constexpr double kLongestSeconds = 1e9;  // 30 years: no estimate, but noise

double clamped_share(double share) { return std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0; }

// Three digits at least, never an exponent.
std::string three_digits(double value) {
  return std::abs(value) >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

std::string times(const Progress& progress, double elapsed) {
  std::string text = format_duration(elapsed);
  if (progress.seconds_left >= 0) text += fmt::format(", about {} left", format_duration(progress.seconds_left));
  if (progress.resident_bytes > 0 && progress.memory_bytes > 0)
    text += fmt::format(", {} of {}", format_bytes(progress.resident_bytes), format_bytes(progress.memory_bytes));
  return text;
}

std::string bar(double share, int width) {
  const int full = static_cast<int>(share * width);
  std::string text(static_cast<size_t>(full), '=');
  if (full < width) text += '>';
  text.resize(static_cast<size_t>(width), ' ');
  return '[' + text + ']';
}

// The first `width` columns, whole code points only.
std::string cut(std::string_view text, int width) {
  size_t end = 0;
  for (int column = 0; end < text.size(); ++column) {
    if (column == width) return std::string(text.substr(0, end));
    ++end;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
  }
  return std::string(text);
}

// Letters to insert, delete or replace.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replace = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replace, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string format_duration(double seconds) {
  if (!(seconds >= 0) || seconds > kLongestSeconds) return "?";
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const int64_t whole = std::llround(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const int64_t minutes = (whole + 30) / 60;
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

std::string format_bytes(int64_t bytes) {
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / 1000;
  const char* units[] = {"kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(value), units[unit]);
}

std::string format_count(int64_t count) {
  const double value = static_cast<double>(count);
  if (value < 999'500) return fmt::format("{}", count);
  if (value < 999.5e6) return three_digits(value / 1e6) + " million";
  return three_digits(value / 1e9) + " billion";
}

std::string format_percent(double share) { return three_digits(share * 100) + " %"; }

std::string counted(int64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string format_list(const std::vector<std::string>& items, size_t most) {
  const auto end = items.begin() + static_cast<std::ptrdiff_t>(std::min(most, items.size()));
  std::string text = fmt::format("{}", fmt::join(items.begin(), end, ", "));
  if (items.size() > most) text += fmt::format(" and {} more", items.size() - most);
  return text;
}

int columns(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string format_progress(const Progress& progress, double elapsed, int width) {
  const double share = clamped_share(progress.share);
  const std::string line =
      fmt::format("{:3.0f} %  {}  {}", std::floor(share * 100), progress.what, times(progress, elapsed));
  // The bar depends on the width alone, or it would change with every second that gains a digit.
  const int bar_width = std::clamp(width / 4, kNarrowestBar, kWidestBar);
  const int brackets_and_space = 3;
  if (bar_width + brackets_and_space + columns(line) > width) return cut(line, std::max(width, 0));
  return bar(share, bar_width) + ' ' + line;
}

std::string format_progress_line(const Progress& progress, double elapsed) {
  return fmt::format("{} ({:.0f} %, {})", progress.what, std::floor(clamped_share(progress.share) * 100),
                     times(progress, elapsed));
}

std::string wrap(std::string_view text, int indent, int width) {
  std::string out;
  int column = indent;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (column > indent && column + 1 + columns(word) > width) {
      out += '\n' + std::string(static_cast<size_t>(indent), ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += columns(word);
  }
  return out;
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  // A beginning of exactly one candidate is more likely cut short than misspelled.
  const auto begins = [&](const std::string& candidate) { return word.size() >= 3 && candidate.starts_with(word); };
  if (std::count_if(candidates.begin(), candidates.end(), begins) == 1) {
    return *std::find_if(candidates.begin(), candidates.end(), begins);
  }
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    // Against short names a distance of two would match nearly anything.
    if (distance < best_distance && 2 * distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string fact(std::string_view key, std::string_view value) {
  return fmt::format("{:<{}} {}\n", key, kKeyColumn - 1, value);
}

}  // namespace hesse
