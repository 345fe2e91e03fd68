#include "plan/group_sizes.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>

namespace hesse {
namespace {

int64_t common_divisor(const std::vector<StageShape>& stages) {
  int64_t common = 0;
  for (const StageShape& stage : stages) common = std::gcd(common, stage.in());
  return common;
}

bool is_common(int64_t size) {
  return size == -1 ||
         std::find(std::begin(kCommonGroupSizes), std::end(kCommonGroupSizes), size) != std::end(kCommonGroupSizes);
}

GroupFit fit_of(const LinearShape& linear, LinearSpec spec, int64_t size, const ExportFormat& format) {
  if (size > linear.in) return GroupFit::kTooWide;
  spec.group_size = size;
  if (!format.why_not(linear.out, linear.in, spec).empty()) return GroupFit::kUnstorable;
  if (linear.in % spec.group_width(linear.in) != 0) return GroupFit::kRagged;
  return is_common(size) ? GroupFit::kLoadable : GroupFit::kDivides;
}

// "'name' has 576 inputs = 4 x 128 + 64"
std::string remainder_text(const LinearShape& linear, int64_t width) {
  return fmt::format("'{}' has {} inputs = {} x {} + {}", linear.name, linear.in, linear.in / width, width,
                     linear.in % width);
}

const LinearShape* first_with(const std::vector<StageShape>& stages, const LinearSpec& spec, const ExportFormat& format,
                              GroupFit fit) {
  for (const StageShape& stage : stages) {
    for (const LinearShape& linear : stage.linears) {
      if (fit_of(linear, spec, spec.group_size, format) == fit) return &linear;
    }
  }
  return nullptr;
}

}  // namespace

std::vector<int64_t> dividing_group_sizes(const std::vector<StageShape>& stages) {
  constexpr int64_t kStep = 32;  // engines take multiples of 32 only
  const int64_t common = common_divisor(stages);
  std::vector<int64_t> sizes;
  for (int64_t size = kStep; size <= common; size += kStep) {
    if (common % size == 0) sizes.push_back(size);
  }
  return sizes;
}

int64_t largest_common_group_size(const std::vector<StageShape>& stages) {
  const int64_t common = common_divisor(stages);
  for (const int64_t size : kCommonGroupSizes) {
    if (common > 0 && common % size == 0) return size;
  }
  return -1;
}

std::string group_size_advice(const std::vector<StageShape>& stages) {
  const std::vector<int64_t> sizes = dividing_group_sizes(stages);
  return sizes.empty() ? "-1" : fmt::format("{} or -1", fmt::join(sizes, ", "));
}

std::string_view group_fit_name(GroupFit fit) {
  switch (fit) {
    case GroupFit::kLoadable:
      return "loadable";
    case GroupFit::kDivides:
      return "divides";
    case GroupFit::kRagged:
      return "ragged";
    case GroupFit::kTooWide:
      return "too-wide";
    case GroupFit::kUnstorable:
      return "unstorable";
  }
  return "unknown";
}

std::vector<LinearGroupSizes> group_size_table(const std::vector<StageShape>& stages, const LinearSpec& spec,
                                               const ExportFormat& format) {
  std::vector<int64_t> sizes = {spec.group_size};
  for (const int64_t size : kCommonGroupSizes) sizes.push_back(size);
  sizes.push_back(-1);
  sizes.erase(std::remove(sizes.begin() + 1, sizes.end(), spec.group_size), sizes.end());
  std::vector<LinearGroupSizes> table;
  std::vector<std::string_view> stage_of;  // of each row
  for (const StageShape& stage : stages) {
    for (const LinearShape& linear : stage.linears) {
      size_t row = 0;
      while (row < table.size() &&
             (stage_of[row] != stage.name || table[row].out != linear.out || table[row].in != linear.in))
        ++row;
      if (row == table.size()) {
        table.push_back({linear.name, linear.out, linear.in, 0, {}});
        stage_of.push_back(stage.name);
        for (const int64_t size : sizes) table[row].sizes.push_back({size, fit_of(linear, spec, size, format)});
      }
      ++table[row].count;
    }
  }
  return table;
}

std::vector<Finding> check_group_sizes(const std::vector<StageShape>& stages, const LinearSpec& spec,
                                       const ExportFormat& format) {
  const int64_t best = largest_common_group_size(stages);
  const std::string remedy = fmt::format("--group-size {}", best);
  const auto find = [&](GroupFit fit) { return first_with(stages, spec, format, fit); };
  std::vector<Finding> findings;
  if (const LinearShape* linear = find(GroupFit::kUnstorable)) {
    findings.push_back({Severity::kError, "group-size.unstorable",
                        fmt::format("'{}' [{}, {}] cannot be stored", linear->name, linear->out, linear->in),
                        format.why_not(linear->out, linear->in, spec), "other bits, see why"});
  }
  if (const LinearShape* linear = find(GroupFit::kTooWide)) {
    findings.push_back(
        {Severity::kError, "group-size.too-wide",
         fmt::format("groups of {} for the {} inputs of '{}'", spec.group_size, linear->in, linear->name),
         "a group is wider than the row", remedy});
  }
  if (const LinearShape* linear = find(GroupFit::kRagged)) {
    findings.push_back({Severity::kWarning, "group-size.ragged", remainder_text(*linear, spec.group_size),
                        fmt::format("the last group is shorter, which the Marlin and ExLlama kernels refuse; sizes "
                                    "that divide every width: {}",
                                    group_size_advice(stages)),
                        remedy});
  } else if (find(GroupFit::kDivides) != nullptr) {
    findings.push_back({Severity::kNote, "group-size.unusual",
                        fmt::format("groups of {} divide every width", spec.group_size),
                        "Marlin and ExLlama have kernels for 32, 64, 128 and whole rows only", remedy});
  }
  if (findings.empty()) {
    const std::string size = spec.group_size == -1 ? "a whole row" : fmt::format("{}", spec.group_size);
    findings.push_back(
        {Severity::kGood, "group-size.divides", fmt::format("groups of {} fit every linear", size), "", ""});
  }
  return findings;
}

}  // namespace hesse
