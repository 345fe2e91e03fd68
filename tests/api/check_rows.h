// Rows of defects: each gives the one finding that names it, and `quantize` stops at the errors with the same words.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "api/model_copy.h"
#include "hesse/api.h"

namespace hesse {

struct Row {
  const char* name;
  Severity severity;
  const char* check;
  std::vector<const char*> words;  // in what, why and remedy of the finding
  std::function<void(const ModelCopy&, CheckOptions&)> make;
};

inline CheckOptions options_for(const ModelCopy& copy) {
  CheckOptions options;
  options.quantize.model = copy.model().string();
  options.quantize.output = copy.file("out").string();
  options.quantize.calibration = {copy.file("text.txt").string()};
  options.quantize.samples = 16;
  options.quantize.length = 64;
  options.quantize.check = false;  // the trial is asked for where it matters
  return options;
}

inline std::vector<Finding> bad_findings(const CheckResult& result) {
  std::vector<Finding> bad;
  for (const Finding& finding : result.findings) {
    if (finding.severity >= Severity::kWarning) bad.push_back(finding);
  }
  return bad;
}

inline std::string told(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) text += finding.check + ": " + finding.what + "\n";
  return text;
}

inline std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

// The finding of the row, no other that is as bad, and the same words from quantize where it is an error.
inline void expect_row(const Row& row) {
  SCOPED_TRACE(row.name);
  const ModelCopy copy(std::string("hesse-check-") + row.name);
  CheckOptions options = options_for(copy);
  if (row.check != std::string("tokenizer.add-bos")) copy.set("tokenizer.json", "post_processor", "null");
  row.make(copy, options);
  Listener quiet;
  const CheckResult result = check(options, quiet);
  const std::vector<Finding> bad = bad_findings(result);
  ASSERT_EQ(bad.size(), 1u) << told(bad);
  EXPECT_EQ(bad[0].severity, row.severity);
  EXPECT_EQ(bad[0].check, row.check);
  const std::string said = bad[0].what + "\n" + bad[0].why + "\n" + bad[0].remedy;
  for (const char* word : row.words) EXPECT_THAT(said, testing::HasSubstr(word));
  EXPECT_EQ(std::count(bad[0].what.begin(), bad[0].what.end(), '\n'), 0);
  if (row.severity != Severity::kError || options.sha256) return;
  try {
    quantize(options.quantize, quiet);
    ADD_FAILURE() << "quantize did not stop";
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), bad[0].what);
  }
  EXPECT_FALSE(std::filesystem::exists(options.quantize.output));
}

}  // namespace hesse
