#include "cli/report_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/text.h"

namespace hesse {
namespace {

constexpr int kWidth = 100;
constexpr int kIndent = 9;
constexpr size_t kWorstSymptoms = 3;
constexpr int64_t kMostLines = 25, kMostBars = 16;
constexpr int kLongestBar = 40;
constexpr double kLeastDecibels = -60;  // an empty bar: an error of a millionth

std::string paragraph(std::string_view word, const std::string& text) {
  return fmt::format("{:<{}}{}\n", word, kIndent, wrap(text, kIndent, kWidth));
}

std::string symptom_text(const Symptom& symptom) {
  const std::string place = symptom.place.empty() ? "" : symptom.place + ": ";
  std::string text =
      paragraph(severity_name(symptom.severity), fmt::format("{}{}  ({})", place, symptom.evidence, symptom.rule));
  if (!symptom.advice.empty()) text += paragraph("  to do", symptom.advice);
  return text;
}

struct LayerError {
  int64_t first = 0;
  int64_t last = 0;
  double error = 0;  // mean
};

std::vector<LayerError> errors_by_layer(const RunRecord& record) {
  std::map<int64_t, std::pair<double, int64_t>> sums;
  for (const LinearRecord& linear : record.linears) {
    if (!(linear.relative_error >= 0)) continue;
    sums[linear.layer].first += linear.relative_error;
    ++sums[linear.layer].second;
  }
  std::vector<LayerError> layers;
  for (const auto& [layer, sum] : sums) layers.push_back({layer, layer, sum.first / static_cast<double>(sum.second)});
  return layers;
}

// Neighbours together, as many in each bin as it takes.
std::vector<LayerError> in_bins(const std::vector<LayerError>& layers, size_t most) {
  const size_t each = (layers.size() + most - 1) / most;
  std::vector<LayerError> bins;
  for (size_t first = 0; first < layers.size(); first += each) {
    const size_t last = std::min(first + each, layers.size());
    double sum = 0;
    for (size_t i = first; i < last; ++i) sum += layers[i].error;
    bins.push_back({layers[first].first, layers[last - 1].last, sum / static_cast<double>(last - first)});
  }
  return bins;
}

}  // namespace

std::string symptoms_text(const std::vector<Symptom>& symptoms, bool all) {
  std::string text;
  for (const Symptom& symptom : symptoms) {
    if (all || symptom.severity != Severity::kGood) text += symptom_text(symptom);
  }
  const bool fine = std::none_of(symptoms.begin(), symptoms.end(),
                                 [](const Symptom& symptom) { return symptom.severity >= Severity::kWarning; });
  return fine ? text + "nothing to do: no rule warns\n" : text;
}

std::string worst_symptoms_text(const std::vector<Symptom>& symptoms, size_t most) {
  std::string text;
  size_t told = 0;
  for (const Symptom& symptom : symptoms) {
    if (symptom.severity >= Severity::kWarning && told++ < most) text += symptom_text(symptom);
  }
  return text;
}

std::string end_of_run(const std::string& summary, const RunRecord& record, const std::vector<Symptom>& symptoms,
                       bool bars) {
  const std::string text = summary + worst_symptoms_text(symptoms, kWorstSymptoms);
  const int64_t room = kMostLines - 1 - std::count(text.begin(), text.end(), '\n');
  return bars && room > 2 ? layer_bars(record, static_cast<size_t>(std::min<int64_t>(room, kMostBars))) + text : text;
}

std::string layer_bars(const RunRecord& record, size_t most_lines) {
  const std::vector<LayerError> layers = errors_by_layer(record);
  if (layers.empty() || most_lines == 0) return "";
  std::string text = "relative error by layer, dB\n";
  for (const LayerError& bin : in_bins(layers, most_lines)) {
    const double decibels = bin.error > 0 ? 10 * std::log10(bin.error) : kLeastDecibels;
    const double share = std::clamp(1 - decibels / kLeastDecibels, 0.0, 1.0);
    const std::string name =
        bin.first == bin.last ? fmt::format("{}", bin.first) : fmt::format("{}-{}", bin.first, bin.last);
    text += fmt::format("{:>9} {:>6.1f} {}\n", name, decibels,
                        std::string(static_cast<size_t>(std::lround(share * kLongestBar)), '#'));
  }
  return text;
}

}  // namespace hesse
