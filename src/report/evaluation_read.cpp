// What `hesse eval --json` printed, read back as far as a diagnosis and a page need it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "hesse/error.h"
#include "report/diagnosis.h"
#include "report/read.h"

namespace hesse {
namespace {

std::optional<Interval> read_interval(const JsonReader& json, std::string_view name) {
  if (!json.has(name)) return std::nullopt;
  const std::vector<double> ends = json.numbers(name);
  if (std::any_of(ends.begin(), ends.end(), [](double end) { return !std::isfinite(end); })) return std::nullopt;
  if (ends.size() == 2 && ends[0] <= ends[1]) return Interval{ends[0], ends[1]};
  throw Error(ErrorKind::kBadInput, fmt::format("[evaluation] {}: {} is no interval; damaged?", json.where(), name));
}

AgainstResult read_against(const JsonReader& json) {
  AgainstResult against{.perplexity = json.number("perplexity"),
                        .kl = json.number("kl"),
                        .top1_agreement = json.number("top1_agreement")};
  against.name = json.text_or("name", "");
  against.perplexity_ratio = json.number_or("perplexity_ratio", 0);
  against.ratio_interval = read_interval(json, "ratio_interval");
  against.kl_interval = read_interval(json, "kl_interval");
  against.agreement_interval = read_interval(json, "agreement_interval");
  return against;
}

BlockEffect read_block(const JsonReader& json) {
  return {.layer = json.count("layer"), .kl = json.number("kl"), .share = json.number("share")};
}

EvalResult read_evaluation(const JsonReader& json) {
  EvalResult result;
  result.name = json.text_or("name", "");
  result.perplexity = json.number("perplexity");
  result.windows = json.count("windows");
  result.window = json.count("window");
  result.interval = read_interval(json, "interval");
  result.calibration_distance = json.number_or("calibration_distance", -1);
  if (json.has("against")) result.against = read_against(json.object("against"));
  if (json.has("blocks")) result.blocks = json.list("blocks", read_block);
  std::erase_if(result.blocks, [](const BlockEffect& block) { return !std::isfinite(block.share); });
  return result;
}

std::string names_of(const EvalResult& result) {
  std::string names = result.name;
  for (const EvalResult& other : result.others) names += ", " + other.name;
  return names;
}

}  // namespace

EvalResult evaluation_from_json(std::string_view text, const std::string& where) {
  const Json json = Json::parse(text, where);
  const JsonReader root(json, where);
  if (const std::string schema = root.text("schema"); !schema.starts_with("hesse-eval/")) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[evaluation] {}: schema is '{}', not that of an evaluation; give what `hesse eval --json` "
                            "printed",
                            where, schema));
  }
  EvalResult result = read_evaluation(root);
  if (root.has("others")) result.others = root.list("others", read_evaluation);
  return result;
}

EvalResult evaluation_of(EvalResult result, const std::string& name) {
  if (result.others.empty() || result.name == name) return result;
  const auto found = std::find_if(result.others.begin(), result.others.end(),
                                  [&](const EvalResult& other) { return other.name == name; });
  if (found != result.others.end()) return std::move(*found);
  throw Error(ErrorKind::kUsage, fmt::format("[evaluation] of {}, none of them {}; evaluate {} too, or alone",
                                             names_of(result), name, name));
}

}  // namespace hesse
