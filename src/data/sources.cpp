#include "data/sources.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <string>

#include "hesse/error.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBuiltin = "builtin:";
constexpr double kMostWeight = 1e6;

// Whether all of `text` is a number.
bool read_weight(std::string_view text, double& weight) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), weight);
  return !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size();
}

bool is_there(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// Both parts of "path:weight"; false when there is no weight.
bool split(const std::string& word, std::string& path, double& weight) {
  const size_t colon = word.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  if (!read_weight(std::string_view(word).substr(colon + 1), weight)) return false;
  path = word.substr(0, colon);
  return true;
}

std::string names_of_builtins() {
  std::string names;
  for (const BuiltinText& text : builtin_texts()) names += fmt::format("{}{}", names.empty() ? "" : ", ", text.name);
  return names;
}

}  // namespace

bool CalibrationSource::builtin() const { return path.starts_with(kBuiltin); }

std::string CalibrationSource::name() const {
  if (builtin()) return path;
  const fs::path normal = fs::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

CalibrationSource parse_source(const std::string& word) {
  CalibrationSource source{word, 1};
  if (is_there(word)) return source;
  double weight = 1;
  if (split(word, source.path, weight)) source.weight = weight;
  if (!(source.weight > 0 && source.weight <= kMostWeight)) {
    throw Error(ErrorKind::kUsage, fmt::format("[calibration] {}: the weight is {}; must be above 0 and at most {}",
                                               source.name(), source.weight, kMostWeight));
  }
  return source;
}

std::string problem_of_source(const std::string& word) {
  if (word.empty()) return "calib has an empty file name";
  if (!word.starts_with(kBuiltin)) return "";
  std::string path = word;
  double weight = 1;
  split(word, path, weight);
  const std::string name = path.substr(kBuiltin.size());
  if (find_builtin(name) != nullptr) return "";
  return fmt::format("calib is '{}'; the built-in sets are {}", word, names_of_builtins());
}

const BuiltinText* find_builtin(std::string_view name) {
  for (const BuiltinText& text : builtin_texts()) {
    if (text.name == name) return &text;
  }
  return nullptr;
}

}  // namespace hesse
