#include "report/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/diagnosis.h"
#include "report/html.h"
#include "report/page_parts.h"
#include "report/page_style.h"
#include "report/plots.h"

namespace hesse {
namespace {

std::string frame(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<link rel=\"icon\" "
      "href=\"data:,\">\n<style>{}</style>\n</head>\n<body>\n{}<script>{}</script>\n</body>\n</html>\n",
      title, kPageStyle, body, kPageScript);
}

std::string key_list(const PageRun& run) {
  std::string out = "<dl class=\"key\">\n";
  for (const KeyNumber& number : key_numbers(run))
    out += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", number.name, number.shown);
  out += "</dl>\n";
  if (!run.evaluation || !run.evaluation->interval) return out;
  return out + fmt::format(
                   "<p class=\"soft\">Small below a number: its 95 % interval, by block bootstrap over {} windows of "
                   "{} tokens.</p>\n",
                   run.evaluation->windows, run.evaluation->window);
}

std::string footer(const RunRecord& record) {
  return fmt::format("<footer><p class=\"soft\">Hesse {}, {}; {}, {} threads.</p></footer>\n", escaped(record.version),
                     escaped(record.processor), escaped(record.libraries), record.threads);
}

std::string page_of_one(const PageRun& run) {
  const RunRecord& record = run.record;
  const std::vector<Symptom> symptoms = diagnose(record, run.evaluation ? &*run.evaluation : nullptr);
  const std::string title = fmt::format("{}, {} bits", escaped(record.model_name), record.options.bits);
  std::string body = fmt::format("<header>\n<h1>{}</h1>\n<p class=\"verdict\">{}</p>\n{}</header>\n<main>\n", title,
                                 verdict_sentences(run, symptoms), key_list(run));
  body += html_section("Diagnosis", symptoms_table(symptoms));
  body += html_section("Where it was lost", heat_map(record) + curves(record));
  body += html_section("Which blocks it costs most", blocks_of_kl(run));
  body += html_section("Worst linears", weight_errors(record) + worst_table(record));
  body += html_section("Experts", experts_table(record));
  body += html_section("Calibration text", calibration_table(record));
  body += html_section("Time", times_table(record));
  body += html_section("Recipe", recipe_table(record));
  body += html_section("Loading it", loading_table(record));
  body += html_section("Record", record_link(run));
  return frame(title, body + "</main>\n" + footer(record));
}

// "+1.2 %" against the first run.
std::string difference(double value, double first) {
  if (!std::isfinite(value) || !std::isfinite(first) || first == 0) return "";
  return fmt::format(" <span class=\"soft\">({:+.2g} %)</span>", 100 * (value / first - 1));
}

std::string numbers_table(const std::vector<PageRun>& runs) {
  HtmlTable table{.caption = "In brackets: against the first run", .head = {"Number"}, .rows = {}};
  for (const PageRun& run : runs) table.head.push_back(escaped(run.name));
  const std::vector<KeyNumber> first = key_numbers(runs.front());
  for (const KeyNumber& number : first) {
    std::vector<std::string> row = {number.name};
    for (const PageRun& run : runs) {
      const std::vector<KeyNumber> numbers = key_numbers(run);
      const auto same = std::find_if(numbers.begin(), numbers.end(),
                                     [&](const KeyNumber& other) { return other.name == number.name; });
      std::string cell = same == numbers.end() ? "" : same->shown;
      if (&run != &runs.front() && same != numbers.end()) cell += difference(same->value, number.value);
      row.push_back(std::move(cell));
    }
    table.rows.push_back(std::move(row));
  }
  return html(table);
}

std::string differing_options(const std::vector<PageRun>& runs) {
  HtmlTable table{.caption = "Options that differ", .head = {"Option"}, .rows = {}};
  std::vector<std::vector<std::pair<std::string, std::string>>> options;
  for (const PageRun& run : runs) {
    table.head.push_back(escaped(run.name));
    options.push_back(options_of(run.record));
  }
  for (size_t i = 0; i < options.front().size(); ++i) {
    std::vector<std::string> row = {escaped(options.front()[i].first)};
    bool differs = false;
    for (const auto& of_run : options) {
      row.push_back(escaped(of_run[i].second));
      differs = differs || of_run[i].second != options.front()[i].second;
    }
    if (differs) table.rows.push_back(std::move(row));
  }
  return table.rows.empty() ? "" : html(table);
}

// Five curves in a picture, so that each can be told from the others.
std::string compared_curves(const std::vector<PageRun>& runs) {
  constexpr size_t kInOne = 5;
  std::string out;
  for (size_t first = 0; first < runs.size(); first += kInOne) {
    Plot plot{.title = "Mean relative error by layer", .unit = "dB", .curves = {}, .ticks = {}};
    for (size_t i = first; i < std::min(first + kInOne, runs.size()); ++i) {
      const RunRecord& record = runs[i].record;
      plot.curves.push_back({runs[i].name, by_layer(
                                               record, [](const LinearRecord& l) { return l.relative_error; }, true)});
      std::vector<std::string> names = layer_names(record);
      if (names.size() > plot.ticks.size()) plot.ticks = std::move(names);
    }
    out += svg(plot);
  }
  return out;
}

std::string page_of_several(const std::vector<PageRun>& runs) {
  const std::string title = fmt::format("{} runs of {}", runs.size(), escaped(runs.front().record.model_name));
  std::string body = fmt::format("<header>\n<h1>{}</h1>\n</header>\n<main>\n", title);
  body += html_section("Numbers", numbers_table(runs));
  body += html_section("Where it was lost", compared_curves(runs));
  body += html_section("Recipes", differing_options(runs));
  for (const PageRun& run : runs) {
    const std::vector<Symptom> symptoms = diagnose(run.record, run.evaluation ? &*run.evaluation : nullptr);
    body += html_section(escaped(run.name),
                         fmt::format("<p>{}</p>\n", verdict_sentences(run, symptoms)) + symptoms_table(symptoms));
  }
  return frame(title, body + "</main>\n" + footer(runs.front().record));
}

}  // namespace

std::string page_of(const std::vector<PageRun>& runs) {
  return runs.size() == 1 ? page_of_one(runs.front()) : page_of_several(runs);
}

}  // namespace hesse
