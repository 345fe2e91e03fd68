// What --calib names: files, directories and built-in sets, each with a weight.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hesse {

struct CalibrationSource {
  std::string path;   // of a file or directory; "builtin:NAME"
  double weight = 1;  // share of the windows, relative to the others

  bool builtin() const;
  std::string name() const;  // for people and for the record: without folders
};

// "wiki.txt", "wiki.txt:2", "builtin:code:0.5". A path that is there counts as it is spelled, colons included; else
// what stands behind its last colon is a weight when it is a number. Error(kUsage) for a weight that is not above 0.
CalibrationSource parse_source(const std::string& word);

// The same for a word that names no file of its own: for checking options without a look at the disk. Empty: fine.
std::string problem_of_source(const std::string& word);

// One set of text that comes with Hesse. `jsonl`: its lines are documents.
struct BuiltinText {
  std::string_view name;
  std::string_view text;
  bool jsonl = false;
};
const std::vector<BuiltinText>& builtin_texts();
const BuiltinText* find_builtin(std::string_view name);  // nullptr: there is none

}  // namespace hesse
