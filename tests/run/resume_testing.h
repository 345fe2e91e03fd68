// Runs on the small model that are interrupted and gone on with, and what they must give.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/file.h"
#include "io/json.h"
#include "io/test_files.h"
#include "run/small_run.h"

namespace hesse {

constexpr int64_t kLargestUnit = 3;  // linears: q, k and v

inline std::map<std::string, std::string> files_of(const std::filesystem::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    files[entry.path().filename().string()] = read_text_file(entry.path());
  }
  return files;
}

// The record without what differs from one run to the next: times, how often it was resumed, and what was damaged then.
inline std::string timeless(const std::string& record) {
  Json json = Json::parse(record, "record");
  json.set("cost", Json());
  Json linears = Json::array();
  for (Json linear : json.find("linears")->as_array("linears")) {
    linear.set("seconds", 0);
    linears.push_back(std::move(linear));
  }
  json.set("linears", std::move(linears));
  Json warnings = Json::array();
  for (const Json& warning : json.find("warnings")->as_array("warnings")) {
    if (warning.as_string("warning").find("out.hesse-work") == std::string::npos) warnings.push_back(warning);
  }
  json.set("warnings", std::move(warnings));
  return json.dump(1);
}

inline std::map<std::string, std::string> result_of(const std::filesystem::path& directory) {
  std::map<std::string, std::string> files = files_of(directory);
  files["hesse-run.json"] = timeless(files["hesse-run.json"]);
  files["hesse-report.html"].clear();  // shows these times; it must be there all the same
  return files;
}

class Counter : public Listener {
 public:
  void on_linear(const LinearRecord&) override { ++solved; }
  bool stop_requested() override { return stop_after >= 0 && solved >= stop_after; }
  void on_resumed(const Resumed& found) override { resumed = found; }
  void on_warning(std::string_view text) override { warnings.emplace_back(text); }
  int64_t solved = 0;
  int64_t stop_after = -1;
  Resumed resumed;
  std::vector<std::string> warnings;
};

// `flags` as small_options() has them.
class Resume : public testing::Test {
 protected:
  void SetUp() override { SmallModel::make(folder_ / "model"); }

  QuantizeOptions options(const std::string& flags) const {
    return small_options(folder_ / "model", folder_ / "out", flags);
  }
  RunRecord run(const QuantizeOptions& o, const std::string& flags = "") {
    listener_ = Counter();
    return quantize_with(o, listener_, small_settings(has(flags, 's')));
  }
  // A process that ends because its listener asks for it, behind so many linears of its own.
  void run_and_stop(const QuantizeOptions& o, int64_t linears, const std::string& flags = "") {
    listener_ = Counter();
    listener_.stop_after = linears;
    EXPECT_THAT(
        message_of(ErrorKind::kInterrupted, [&] { quantize_with(o, listener_, small_settings(has(flags, 's'))); }),
        testing::HasSubstr("stopped on request"));
  }

  // What a run in one piece gives.
  std::map<std::string, std::string> whole(const std::string& flags) {
    clear(flags);
    run(options(flags), flags);
    return result_of(folder_ / "out");
  }

  std::set<std::string> left_over() const {
    std::set<std::string> names = folder_.names();
    for (const char* name : {"model", "model.txt", "log", "log.errors", "out.trash"}) names.erase(name);
    return names;
  }

  // An empty place, or with `o` one that holds an older result, and with `d` one whose second layer is to be changed.
  void clear(const std::string& flags) {
    for (const std::string& name : left_over()) std::filesystem::remove_all(folder_ / name);
    std::filesystem::remove_all(folder_ / "out.trash");
    if (has(flags, 'd')) run(options(""));
    if (!has(flags, 'o')) return;
    std::filesystem::create_directory(folder_ / "out");
    std::ofstream(folder_ / "out/hesse-run.json") << "{}";
  }

  void expect_result(const std::map<std::string, std::string>& expected) const {
    const std::map<std::string, std::string> found = result_of(folder_ / "out");
    EXPECT_EQ(found.size(), expected.size());
    for (const auto& [name, bytes] : expected) {
      EXPECT_TRUE(found.count(name) == 1 && found.at(name) == bytes) << name;
    }
    EXPECT_EQ(left_over(), std::set<std::string>{"out"});
  }

  const TestDirectory folder_;
  Counter listener_;
  int64_t linears_ = SmallModel::kLinears;
};

}  // namespace hesse
