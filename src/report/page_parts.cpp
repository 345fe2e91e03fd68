#include "report/page_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "io/json.h"
#include "report/diagnosis.h"
#include "report/html.h"
#include "report/plots.h"
#include "report/report.h"

namespace hesse {
namespace {

// A record with many experts would make the page heavy; it lies beside the page anyhow.
constexpr size_t kMostRecordBytes = 600'000;
constexpr size_t kMostRows = 40;
constexpr size_t kMostBlocks = 12;

std::string severity_word(Severity severity) { return escaped(severity_name(severity)); }

double mean_error(const RunRecord& record, double LinearRecord::*member) {
  double sum = 0;
  int64_t count = 0;
  for (const LinearRecord& linear : record.linears) {
    if (!(linear.*member >= 0)) continue;
    sum += linear.*member;
    ++count;
  }
  return count > 0 ? sum / static_cast<double>(count) : NAN;
}

std::string group_text(int64_t group_size) {
  return group_size == -1 ? "groups of a row" : fmt::format("groups of {}", group_size);
}

// "34.9 to 37.2" below the number; empty: there is no interval.
std::string interval_line(const std::optional<Interval>& interval, int digits, double factor = 1, double shift = 0) {
  if (!interval) return "";
  return fmt::format("<br/><small class=\"soft\">{0:.{2}f} to {1:.{2}f}</small>", factor * (interval->low + shift),
                     factor * (interval->high + shift), digits);
}

std::vector<KeyNumber> numbers_of(const EvalResult& e) {
  const std::string after = fmt::format("{:.4g}", e.perplexity);
  if (!e.against) return {{"Perplexity", after + interval_line(e.interval, 2), e.perplexity}};
  const AgainstResult& a = *e.against;
  const double growth = e.perplexity / a.perplexity - 1;
  return {
      {"Perplexity", fmt::format("{} of {:.4g}{}", after, a.perplexity, interval_line(e.interval, 2)), e.perplexity},
      {"Perplexity growth", fmt::format("{:+.2g} %{}", 100 * growth, interval_line(a.ratio_interval, 2, 100, -1))},
      {"KL, nats a token", shown_number(a.kl) + interval_line(a.kl_interval, 4), a.kl},
      {"Same top token", shown_percent(a.top1_agreement) + interval_line(a.agreement_interval, 1, 100),
       a.top1_agreement}};
}

std::string value_text(const Json& value) { return value.is_string() ? value.as_string("value") : value.dump(); }

}  // namespace

int64_t original_bytes(const RunRecord& record) {
  int64_t bytes = 0;
  for (const InputFile& file : record.inputs) {
    if (file.name.ends_with(".safetensors")) bytes += file.bytes;
  }
  return bytes;
}

std::vector<KeyNumber> key_numbers(const PageRun& run) {
  const RunRecord& r = run.record;
  const double nothing = NAN;
  const int64_t before = original_bytes(r);
  std::string size = shown_bytes(r.output_bytes);
  if (before > 0) size = fmt::format("{} of {}", size, shown_bytes(before));
  std::vector<KeyNumber> numbers = {{"Size", size, static_cast<double>(r.output_bytes)},
                                    {"Bits a weight", shown_number(r.bits_per_weight), r.bits_per_weight}};
  if (run.evaluation) {
    for (KeyNumber& number : numbers_of(*run.evaluation)) numbers.push_back(std::move(number));
  }
  const double error = mean_error(r, &LinearRecord::relative_error),
               rtn = mean_error(r, &LinearRecord::rtn_relative_error);
  numbers.push_back({"Relative error", shown_percent(error), error});
  numbers.push_back({"Of rounding's error", rtn > 0 ? shown_percent(error / rtn) : shown_percent(-1),
                     rtn > 0 ? error / rtn : nothing});
  const double seconds = r.seconds + r.seconds_before;
  numbers.push_back({"Time", shown_seconds(seconds), seconds});
  numbers.push_back({"Peak memory", shown_bytes(r.peak_memory_bytes), static_cast<double>(r.peak_memory_bytes)});
  numbers.push_back({"Not solved", fmt::format("{} of {}", r.fallbacks(), r.linears.size()), nothing});
  return numbers;
}

std::string verdict_sentences(const PageRun& run, const std::vector<Symptom>& symptoms) {
  const RunRecord& r = run.record;
  const int64_t before = original_bytes(r);
  std::string text = fmt::format("{} linears of {} at {} bits a weight ({}, {})", r.linears.size(),
                                 escaped(r.model_name), shown_number(r.bits_per_weight),
                                 group_text(r.options.group_size), r.options.symmetric ? "symmetric" : "asymmetric");
  if (before > 0) text += fmt::format(", {} in place of {}", shown_bytes(r.output_bytes), shown_bytes(before));
  text += ". ";
  const auto asks = std::count_if(symptoms.begin(), symptoms.end(),
                                  [](const Symptom& symptom) { return symptom.severity >= Severity::kWarning; });
  if (asks == 0) return text + "No rule of the diagnosis warns.";
  const Symptom& worst = symptoms.front();
  return text + fmt::format("{} {} of the diagnosis {}, the gravest <b>{}</b>: {}.", asks, asks == 1 ? "rule" : "rules",
                            asks == 1 ? "warns" : "warn", escaped(worst.rule), escaped(worst.evidence));
}

std::string symptoms_table(const std::vector<Symptom>& symptoms) {
  HtmlTable table{
      .caption = "The worst first", .head = {"Severity", "Rule", "Place", "Evidence", "What to do"}, .rows = {}};
  for (const Symptom& s : symptoms) {
    table.rows.push_back(
        {severity_word(s.severity), escaped(s.rule), escaped(s.place), escaped(s.evidence), escaped(s.advice)});
  }
  return table.rows.empty() ? "" : html(table);
}

std::string worst_table(const RunRecord& record) {
  const std::vector<const LinearRecord*> linears = worst_linears(record, kMostRows);
  HtmlTable table{
      .caption = fmt::format("{} of {}; press a heading to sort", linears.size(), record.linears.size()),
      .head = {"Linear", "Error, %", "Rounding, %", "Held out, %", "Loss", "Damping", "Condition", "Status"},
      .rows = {},
      .sortable = true};
  const auto percent = [](double value) { return value >= 0 ? fmt::format("{:.3g}", 100 * value) : ""; };
  for (const LinearRecord* linear : linears) {
    const LinearRecord& l = *linear;
    table.rows.push_back({escaped(l.name), percent(l.relative_error), percent(l.rtn_relative_error),
                          percent(l.held_out_error), l.loss >= 0 ? fmt::format("{:.3g}", l.loss) : "",
                          shown_number(l.damping), shown_number(l.condition), escaped(status_name(l.status))});
  }
  return linears.empty() ? "" : html(table);
}

std::string blocks_of_kl(const PageRun& run) {
  if (!run.evaluation || run.evaluation->blocks.empty()) return "";
  std::vector<BlockEffect> blocks = run.evaluation->blocks;
  Plot plot{.title = "Share of the KL divergence that is gone when one block alone is the original's",
            .unit = "%",
            .curves = {{"share", {}}},
            .ticks = {}};
  for (const BlockEffect& block : blocks) {
    plot.curves[0].values.push_back(100 * block.share);
    plot.ticks.push_back(fmt::format("{}", block.layer));
  }
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const BlockEffect& a, const BlockEffect& b) { return a.share > b.share; });
  if (blocks.size() > kMostBlocks) blocks.resize(kMostBlocks);
  HtmlTable table{.caption = "The blocks that cause most; shares need not add up to 100 %",
                  .head = {"Layer", "Share, %", "KL without its error"},
                  .rows = {},
                  .sortable = true};
  for (const BlockEffect& block : blocks) {
    table.rows.push_back(
        {fmt::format("{}", block.layer), fmt::format("{:.2f}", 100 * block.share), fmt::format("{:.5f}", block.kl)});
  }
  return svg(plot) + html(table);
}

std::string experts_table(const RunRecord& record) {
  HtmlTable table{.caption = "Calibration tokens that were sent to the experts of each layer",
                  .head = {"Layer", "Experts", "Without a token", "Least", "Middle", "Most"},
                  .rows = {}};
  for (const ExpertTokens& layer : expert_tokens(record)) {
    std::vector<double> tokens;
    for (const int64_t count : layer.tokens) {
      if (count >= 0) tokens.push_back(static_cast<double>(count));
    }
    if (tokens.empty()) continue;
    const auto [least, most] = std::minmax_element(tokens.begin(), tokens.end());
    table.rows.push_back({fmt::format("{}", layer.layer), fmt::format("{}", tokens.size()),
                          fmt::format("{}", std::count(tokens.begin(), tokens.end(), 0.0)),
                          fmt::format("{:.0f}", *least), fmt::format("{:.0f}", median(tokens)),
                          fmt::format("{:.0f}", *most)});
  }
  return table.rows.empty() ? "" : html(table);
}

std::string calibration_table(const RunRecord& record) {
  if (record.calibration_tokens == 0) return "";
  HtmlTable sources{
      .caption = fmt::format("{} windows, {} tokens", record.calibration_sequences, record.calibration_tokens),
      .head = {"Source", "Kind", "Read", "Documents", "Duplicates", "Windows"},
      .rows = {}};
  for (const TextFacts& s : record.calibration_sources) {
    sources.rows.push_back({escaped(s.name), escaped(s.kind), shown_bytes(s.bytes), fmt::format("{}", s.documents),
                            fmt::format("{}", s.duplicates), fmt::format("{}", s.windows)});
  }
  std::string out = html(sources);
  if (!record.calibration) return out;
  const CalibrationFacts& c = *record.calibration;
  std::string scripts;
  for (const ScriptShare& s : c.scripts)
    scripts += fmt::format("{}{} {}", scripts.empty() ? "" : ", ", escaped(s.name), shown_percent(s.share));
  return out + html({.caption = "What the windows are made of",
                     .head = {},
                     .rows = {{"Different tokens", fmt::format("{}, {} of the vocabulary", c.distinct_tokens,
                                                               shown_percent(c.vocabulary_share))},
                              {"Repeated", shown_percent(c.repeated)},
                              {"Copies of windows", fmt::format("{}", c.duplicate_sequences)},
                              {"Unknown, padding", shown_percent(c.unknown) + ", " + shown_percent(c.padding)},
                              {"Scripts", scripts}}});
}

std::string times_table(const RunRecord& record) {
  std::vector<std::vector<std::string>> rows;
  for (const PhaseTime& phase : record.phases) {
    rows.push_back({escaped(phase.name), shown_seconds(phase.seconds),
                    record.seconds > 0 ? shown_percent(phase.seconds / record.seconds) : ""});
  }
  rows.push_back({"all, predicted", shown_seconds(record.predicted_seconds), ""});
  rows.push_back({"all, taken", shown_seconds(record.seconds), ""});
  if (record.resumed > 0) {
    rows.push_back({fmt::format("before, resumed {} times", record.resumed), shown_seconds(record.seconds_before), ""});
  }
  std::string out = html({.caption = "By phase, of the process that finished the run",
                          .head = {"Phase", "Time", "Share"},
                          .rows = std::move(rows)});
  if (record.predicted_peak_memory_bytes >= 0) {
    out += fmt::format("<p>Peak memory {}, predicted {}.</p>\n", shown_bytes(record.peak_memory_bytes),
                       shown_bytes(record.predicted_peak_memory_bytes));
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> options_of(const RunRecord& record) {
  RunRecord bare;
  bare.options = record.options;
  const Json json = Json::parse(to_json(bare), "record");
  std::vector<std::pair<std::string, std::string>> options;
  for (const auto& [name, value] : json.find("options")->as_object("options"))
    options.emplace_back(name, value_text(value));
  return options;
}

std::string recipe_table(const RunRecord& record) {
  HtmlTable table{
      .caption = "As it was resolved; names are those of the flags", .head = {"Option", "Value"}, .rows = {}};
  for (const auto& [name, value] : options_of(record)) table.rows.push_back({escaped(name), escaped(value)});
  return "<details><summary>All options</summary>\n" + html(table) + "</details>\n";
}

std::string loading_table(const RunRecord& record) {
  if (record.forecast) return "";
  return html({.caption = fmt::format("PATH is the folder of this result, format {}; <code>hesse check</code> on the "
                                      "original model says which kernels take these settings",
                                      escaped(record.format)),
               .head = {"Engine", "Command"},
               .rows = {{"Hesse", "<code>hesse generate PATH --prompt &quot;Once upon a time&quot;</code>"},
                        {"vLLM", "<code>vllm serve PATH</code>"},
                        {"SGLang", "<code>python -m sglang.launch_server --model-path PATH</code>"},
                        {"transformers", "<code>AutoModelForCausalLM.from_pretrained(&quot;PATH&quot;)</code>"}}});
}

std::string record_link(const PageRun& run) {
  if (run.record_json.empty()) return "";
  const std::string compact = Json::parse(run.record_json, "record").dump();
  if (compact.size() > kMostRecordBytes) {
    return fmt::format("<p>The whole record, {}, is <code>hesse-run.json</code> beside the weights.</p>\n",
                       shown_bytes(static_cast<int64_t>(compact.size())));
  }
  return fmt::format(
      "<p><a download=\"hesse-run.json\" href=\"data:application/json;base64,{}\">hesse-run.json</a>, all "
      "numbers of this run ({}).</p>\n",
      base64(compact), shown_bytes(static_cast<int64_t>(compact.size())));
}

}  // namespace hesse
