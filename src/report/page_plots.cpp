// The numbers of a record as pictures.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "report/diagnosis.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/plots.h"
#include "report/report.h"

namespace hesse {
namespace {

std::vector<int64_t> layers_of(const RunRecord& record) {
  std::set<int64_t> layers;
  for (const LinearRecord& linear : record.linears) layers.insert(linear.layer);
  return {layers.begin(), layers.end()};
}

// "mlp.up_proj" of "model.layers.*.mlp.up_proj"; experts of a layer together, since there may be hundreds.
std::string row_name(const LinearRecord& linear) {
  const std::string kind = kind_of(linear);
  const size_t star = kind.rfind(".*.");
  std::string name = star == std::string::npos ? kind : kind.substr(star + 3);
  if (linear.expert >= 0) {
    const std::string number = fmt::format(".{}.", linear.expert);
    if (const size_t at = name.find(number); at != std::string::npos) name.replace(at, number.size(), ".*.");
  }
  return name;
}

double largest(const RunRecord& record, int64_t layer, double LinearRecord::*member) {
  double most = NAN;
  for (const LinearRecord& linear : record.linears) {
    if (linear.layer == layer && !(linear.*member <= most)) most = linear.*member;
  }
  return most;
}

}  // namespace

std::vector<std::string> layer_names(const RunRecord& record) {
  std::vector<std::string> names;
  for (const int64_t layer : layers_of(record)) names.push_back(fmt::format("{}", layer));
  return names;
}

std::vector<double> by_layer(const RunRecord& record, double (*measure)(const LinearRecord&), bool in_decibels) {
  std::map<int64_t, std::pair<double, int64_t>> sums;
  for (const LinearRecord& linear : record.linears) {
    auto& [sum, count] = sums[linear.layer];
    const double value = measure(linear);
    if (!(value >= 0)) continue;
    sum += value;
    ++count;
  }
  std::vector<double> means;
  for (const auto& [layer, sum] : sums) {
    const double mean = sum.second > 0 ? sum.first / static_cast<double>(sum.second) : NAN;
    means.push_back(in_decibels && mean >= 0 ? decibels(mean) : mean);
  }
  return means;
}

std::string weight_errors(const RunRecord& record) {
  constexpr size_t kPanels = 6;
  Histograms plot{.title =
                      "Errors of single weights of the worst, in steps of their grid; rounding to nearest moves none "
                      "by more than half a step inside it",
                  .unit = "steps",
                  .limit = kErrorSteps,
                  .panels = {}};
  for (const LinearRecord* linear : worst_linears(record, record.linears.size())) {
    if (linear->weight_errors.empty() || plot.panels.size() == kPanels) continue;
    const std::string expert = linear->expert >= 0 ? fmt::format(", expert {}", linear->expert) : "";
    const std::string name = row_name(*linear);
    const std::string part = linear->expert >= 0 ? name.substr(name.rfind('.') + 1) : name;
    plot.panels.push_back({fmt::format("{}{}: {}", linear->layer, expert, part), linear->weight_errors});
  }
  return svg(plot);
}

std::string heat_map(const RunRecord& record) {
  HeatMap map{.title = "Relative error of each linear, by layer",
              .unit = "dB",
              .columns = layer_names(record),
              .rows = {},
              .values = {}};
  const std::vector<int64_t> layers = layers_of(record);
  std::map<int64_t, size_t> column;
  for (size_t i = 0; i < layers.size(); ++i) column.emplace(layers[i], i);
  std::map<std::string, size_t> row;
  std::vector<std::vector<std::pair<double, int64_t>>> sums;
  for (const LinearRecord& linear : record.linears) {
    const auto [at, added] = row.emplace(row_name(linear), sums.size());
    if (added) {
      map.rows.push_back(at->first);
      sums.emplace_back(layers.size());
    }
    if (!(linear.relative_error >= 0)) continue;
    auto& [sum, count] = sums[at->second][column[linear.layer]];
    sum += linear.relative_error;
    ++count;
  }
  for (const auto& of_row : sums) {
    map.values.emplace_back();
    for (const auto& [sum, count] : of_row)
      map.values.back().push_back(count > 0 ? decibels(sum / static_cast<double>(count)) : NAN);
  }
  return svg(map);
}

std::string curves(const RunRecord& record) {
  const std::vector<std::string> ticks = layer_names(record);
  if (ticks.size() < 2) return "";
  std::string out =
      svg(Plot{.title = "Mean relative error by layer: solved, on held-out text, and of rounding to nearest",
               .unit = "dB",
               .curves = {{"solved", by_layer(
                                         record, [](const LinearRecord& l) { return l.relative_error; }, true)},
                          {"held out", by_layer(
                                           record, [](const LinearRecord& l) { return l.held_out_error; }, true)},
                          {"rounding to nearest",
                           by_layer(
                               record, [](const LinearRecord& l) { return l.rtn_relative_error; }, true)}},
               .ticks = ticks});
  Plot damping{
      .title = "Largest damping and condition by layer (powers of ten)", .unit = "log10", .curves = {}, .ticks = ticks};
  damping.curves = {{"damping, of mean diag(H)", {}}, {"condition of the damped Hessian", {}}};
  for (const int64_t layer : layers_of(record)) {
    const double raised = largest(record, layer, &LinearRecord::damping);
    const double condition = largest(record, layer, &LinearRecord::condition);
    damping.curves[0].values.push_back(raised > 0 ? std::log10(raised) : NAN);
    damping.curves[1].values.push_back(condition > 0 ? std::log10(condition) : NAN);
  }
  return out + svg(damping);
}

}  // namespace hesse
