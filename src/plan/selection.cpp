#include "plan/selection.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "hesse/error.h"

namespace hesse {
namespace {

std::optional<int64_t> number(std::string_view text) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

LayerRange parse_range(std::string_view part, std::string_view all) {
  const size_t dash = part.find('-');
  const std::optional<int64_t> first = number(part.substr(0, dash));
  const std::optional<int64_t> last = dash == std::string_view::npos ? first : number(part.substr(dash + 1));
  if (first && last && *first <= *last) return {*first, *last};
  throw Error(ErrorKind::kUsage,
              fmt::format("layers is '{}', and '{}' is no range; write numbers from 0 such as 0-3,8", all, part));
}

bool matches(const std::string& name, const std::vector<std::string>& patterns) {
  const auto match = [&](const std::string& pattern) { return fnmatch(pattern.c_str(), name.c_str(), 0) == 0; };
  return patterns.empty() || std::any_of(patterns.begin(), patterns.end(), match);
}

void require_matches(const LayerStages& stages, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    const auto stage_has = [&](const StageShape& stage) {
      return std::any_of(stage.linears.begin(), stage.linears.end(),
                         [&](const LinearShape& linear) { return matches(linear.name, {pattern}); });
    };
    const bool found = std::any_of(stages.begin(), stages.end(), [&](const auto& layer) {
      return std::any_of(layer.begin(), layer.end(), stage_has);
    });
    if (found) continue;
    throw Error(
        ErrorKind::kUsage,
        fmt::format("[selection] no linear is called '{}'; they have names like '{}', and * stands for any part",
                    pattern, stages.front().front().linears.front().name));
  }
}

}  // namespace

std::vector<LayerRange> parse_layers(std::string_view text) {
  std::vector<LayerRange> ranges;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    ranges.push_back(parse_range(text.substr(begin, end - begin), text));
    begin = end + 1;
  }
  return ranges;
}

LayerStages stages_by_layer(const ModelConfig& config) {
  LayerStages stages;
  for (int64_t layer = 0; layer < config.layers; ++layer) stages.push_back(layer_stages(config, layer));
  return stages;
}

std::set<std::string> select_linears(const LayerStages& stages, std::string_view layers,
                                     const std::vector<std::string>& patterns) {
  const int64_t count = std::ssize(stages);
  std::vector<LayerRange> ranges = {{0, count - 1}};
  if (!layers.empty()) ranges = parse_layers(layers);
  for (const LayerRange& range : ranges) {
    if (range.last < count) continue;
    throw Error(ErrorKind::kUsage, fmt::format("[selection] --layers {}: the model has the layers 0 to {}, not {}",
                                               layers, count - 1, range.last));
  }
  require_matches(stages, patterns);
  std::set<std::string> names;
  for (const LayerRange& range : ranges) {
    for (int64_t layer = range.first; layer <= range.last; ++layer) {
      for (const StageShape& stage : stages[static_cast<size_t>(layer)]) {
        for (const LinearShape& linear : stage.linears) {
          if (matches(linear.name, patterns)) names.insert(linear.name);
        }
      }
    }
  }
  if (!names.empty()) return names;
  throw Error(ErrorKind::kUsage, fmt::format("[selection] no linear of the layers {} is called '{}'", layers,
                                             fmt::join(patterns, "' or '")));
}

}  // namespace hesse
