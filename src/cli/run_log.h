// What `hesse quantize` says: a line for each layer, with --verbose for each linear, and the summary at the end.
#pragma once

#include <set>
#include <string>

#include "cli/console.h"

namespace hesse {

class RunLog : public Console {
 public:
  using Console::Console;
  void on_prediction(const Prediction& prediction) override;
  void on_resumed(const Resumed& resumed) override;
  void on_progress(const Progress& progress) override;
  void on_linear(const LinearRecord& linear) override;
  int64_t linears_done() const { return linears_done_; }  // of this process and those before it
  void finish_layer();  // writes the line of the layer, if any of its linears has come

 private:
  bool wants_plain_progress() override { return !line_for_step_before_; }

  // Sums over the linears since the last line.
  struct Sums {
    int64_t linears = 0;
    int64_t measured = 0;
    double error = 0;
    double rtn_error = 0;
    double seconds = 0;
  };
  Sums layer_;
  int64_t linears_done_ = 0;
  int64_t layer_number_ = -1;
  std::string layer_step_;
  bool line_for_step_before_ = false;
  std::set<Trouble> told_;  // has had a line
};

std::string linear_line(const LinearRecord& linear);  // for --verbose
std::string summary_text(const RunRecord& record);    // for the end; the last line speaks of fallbacks, if any

}  // namespace hesse
