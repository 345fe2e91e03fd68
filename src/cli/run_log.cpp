#include "cli/run_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <vector>

#include "cli/text.h"

namespace hesse {
namespace {

constexpr size_t kNamesInSummary = 8;

// GPTQ's error in units of the error of rounding to nearest, the number to watch.
std::string share_of_rtn(double error, double rtn_error) {
  if (!(error >= 0) || !(rtn_error > 0)) return "";
  return fmt::format(", keeps {} of RTN's error", format_percent(error / rtn_error));
}

std::string group_name(int64_t group_size) { return group_size == -1 ? "row" : fmt::format("{}", group_size); }

// " (predicted 123 MB)"
std::string beside(bool known, const std::string& predicted) {
  return known ? fmt::format(" (predicted {})", predicted) : "";
}

// One line for each trouble: how many linears have it, the first of them, and its sentence.
std::string troubles_text(const RunRecord& record) {
  std::map<Trouble, std::vector<const LinearRecord*>> found;
  for (const LinearRecord& linear : record.linears) {
    for (const Trouble trouble : troubles_of(linear)) found[trouble].push_back(&linear);
  }
  std::string text;
  for (const auto& [trouble, linears] : found) {
    const LinearRecord& first = *linears.front();
    text += fact(std::string(trouble_name(trouble)),
                 fmt::format("{}, the first {}: {}", counted(static_cast<int64_t>(linears.size()), "linear"),
                             first.name, trouble_text(trouble, first)));
  }
  return text;
}

std::vector<std::string> names_of_fallbacks(const RunRecord& record) {
  std::vector<std::string> names;
  for (const LinearRecord& linear : record.linears) {
    if (linear.status >= LinearStatus::kRoundingBetter) names.push_back(linear.name);
  }
  return names;
}

// The table itself is in the record.
std::string experts_text(const RunRecord& record) {
  std::vector<int64_t> counts;
  for (const ExpertTokens& layer : expert_tokens(record)) {
    std::copy_if(layer.tokens.begin(), layer.tokens.end(), std::back_inserter(counts),
                 [](int64_t count) { return count >= 0; });
  }
  if (counts.empty() || record.calibration_tokens == 0) return "";
  std::sort(counts.begin(), counts.end());
  return fact("experts", fmt::format("{} of {} without a token; the others got {} to {}, the middle one {}",
                                     std::count(counts.begin(), counts.end(), 0), counts.size(),
                                     *std::find_if(counts.begin(), counts.end() - 1, [](int64_t n) { return n > 0; }),
                                     counts.back(), counts[counts.size() / 2]));
}

std::string mean_error_text(const RunRecord& record) {
  double error = 0;
  double rtn_error = 0;
  int64_t count = 0;
  for (const LinearRecord& linear : record.linears) {
    if (!(linear.relative_error >= 0)) continue;
    error += linear.relative_error;
    rtn_error += linear.rtn_relative_error;
    ++count;
  }
  if (count == 0) return "not measured (no calibration text)";
  return format_percent(error / static_cast<double>(count)) + share_of_rtn(error, rtn_error);
}

std::string forecast_text(const RunRecord& record, const Forecast& forecast) {
  std::string text =
      fact("trial", fmt::format("layers {} on {} of {} tokens; nothing was written", fmt::join(forecast.layers, ", "),
                                counted(record.calibration_sequences, "sequence"), record.options.length));
  text += fact("whole run", fmt::format("about {} and {} of memory", format_duration(forecast.seconds),
                                        format_bytes(forecast.peak_memory_bytes)));
  return text;
}

std::string result_text(const RunRecord& record) {
  if (record.forecast) return forecast_text(record, *record.forecast);
  std::string text = fact("result", fmt::format("{} ({})", record.options.output, record.format));
  return text + fact("size", fmt::format("{}, {:.3f} bits a weight in {}", format_bytes(record.output_bytes),
                                         record.bits_per_weight,
                                         counted(static_cast<int64_t>(record.linears.size()), "quantized linear")));
}

}  // namespace

void RunLog::on_prediction(const Prediction& prediction) {
  note(fmt::format("plan     about {} and {} of memory", format_duration(prediction.seconds),
                   format_bytes(prediction.peak_memory_bytes)));
}

void RunLog::on_resumed(const Resumed& resumed) {
  linears_done_ = resumed.linears;
  std::string line = fmt::format("resumed  {} of {} were done before", resumed.linears, counted(resumed.of, "linear"));
  if (resumed.linears < resumed.of) line += fmt::format("; going on in layer {}", resumed.layer + 1);
  if (resumed.first_layer < resumed.layer && resumed.linears < resumed.of)
    line += fmt::format(", behind forward passes from layer {}", resumed.first_layer + 1);
  note(line);
}

void RunLog::on_progress(const Progress& progress) {
  line_for_step_before_ = false;
  if (progress.what != step() && layer_.linears > 0) {
    finish_layer();
    line_for_step_before_ = true;
  }
  Console::on_progress(progress);
}

void RunLog::on_linear(const LinearRecord& linear) {
  if (linear.layer != layer_number_) finish_layer();
  if (layer_.linears == 0) layer_step_ = step();
  layer_number_ = linear.layer;
  ++layer_.linears;
  ++linears_done_;
  layer_.seconds += linear.seconds;
  if (linear.relative_error >= 0 && linear.rtn_relative_error >= 0) {
    ++layer_.measured;
    layer_.error += linear.relative_error;
    layer_.rtn_error += linear.rtn_relative_error;
  }
  if (manner().verbose || linear.status != LinearStatus::kOk) {
    note(fmt::format("  {}", linear_line(linear)));
    return;
  }
  // The first of its kind; how many there were is in the summary.
  for (const Trouble trouble : troubles_of(linear)) {
    if (told_.insert(trouble).second)
      note(fmt::format("  {}: {}: {}", trouble_name(trouble), linear.name, trouble_text(trouble, linear)));
  }
}

void RunLog::finish_layer() {
  if (layer_.linears == 0) return;
  std::string line = layer_step_.empty() ? fmt::format("layer {}", layer_number_ + 1) : layer_step_;
  line += fmt::format(": {}", counted(layer_.linears, "linear"));
  if (layer_.measured > 0) {
    line += fmt::format(", relative error {}", format_percent(layer_.error / static_cast<double>(layer_.measured)));
    line += share_of_rtn(layer_.error, layer_.rtn_error);
  }
  line += fmt::format("; {}", format_duration(elapsed()));
  if (seconds_left() >= 0) line += fmt::format(", about {} left", format_duration(seconds_left()));
  note(line);
  layer_ = {};
}

std::string linear_line(const LinearRecord& linear) {
  std::string line = fmt::format("{}  {} bits/{}", linear.name, linear.bits, group_name(linear.group_size));
  if (linear.relative_error >= 0) {
    line += fmt::format("  error {}", format_percent(linear.relative_error));
    line += share_of_rtn(linear.relative_error, linear.rtn_relative_error);
  }
  if (linear.damping > 0) line += fmt::format("  lambda {:.3g}", linear.damping);
  line += fmt::format("  {}", status_name(linear.status));
  for (const Trouble trouble : troubles_of(linear)) {
    line += fmt::format("\n    {}: {}", trouble_name(trouble), trouble_text(trouble, linear));
  }
  return line;
}

std::string summary_text(const RunRecord& record) {
  std::string text = result_text(record);
  text += fact("relative error", mean_error_text(record));
  std::string before;
  if (record.resumed > 0)
    before = fmt::format(", and {} before it was resumed", format_duration(record.seconds_before));
  text += fact("time", format_duration(record.seconds) +
                           beside(record.predicted_seconds >= 0, format_duration(record.predicted_seconds)) + before);
  text += fact("peak memory",
               format_bytes(record.peak_memory_bytes) +
                   beside(record.predicted_peak_memory_bytes >= 0, format_bytes(record.predicted_peak_memory_bytes)));
  if (!record.warnings.empty()) text += fact("warnings", fmt::format("{}", record.warnings.size()));
  text += experts_text(record);
  text += troubles_text(record);
  const std::vector<std::string> fallbacks = names_of_fallbacks(record);
  text += fact("fallbacks", fallbacks.empty() ? "0"
                                              : fmt::format("{}, not solved: {}", fallbacks.size(),
                                                            format_list(fallbacks, kNamesInSummary)));
  return text;
}

}  // namespace hesse
