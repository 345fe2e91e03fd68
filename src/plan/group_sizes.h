// Which group sizes fit a model: answers before any work.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/format.h"
#include "hesse/types.h"
#include "model/block.h"
#include "quant/spec.h"

namespace hesse {

// The sizes that engines load, the best known first: kernels exist for these and for whole rows (-1).
constexpr int64_t kCommonGroupSizes[] = {128, 64, 32};
constexpr int64_t kAutoGroupSize = 0;  // --group-size auto

// Multiples of 32 that divide the input width of every linear, ascending. -1 always fits and is not listed.
std::vector<int64_t> dividing_group_sizes(const std::vector<StageShape>& stages);

// The largest common size that divides every width; -1 when none does.
int64_t largest_common_group_size(const std::vector<StageShape>& stages);

// "32, 64, 96, 192 or -1"
std::string group_size_advice(const std::vector<StageShape>& stages);

// How a group size lies in one linear.
enum class GroupFit {
  kLoadable,    // divides, and engines have kernels for it
  kDivides,     // divides; few engines have kernels for it
  kRagged,      // the last group is shorter
  kTooWide,     // wider than the row
  kUnstorable,  // the format cannot pack this linear with these bits
};
std::string_view group_fit_name(GroupFit fit);  // "loadable"

struct LinearGroupSizes {
  std::string linear;  // the first of its kind
  int64_t out = 0;
  int64_t in = 0;
  int64_t count = 0;  // linears of this shape and place
  struct Size {
    int64_t group_size = 0;
    GroupFit fit = GroupFit::kLoadable;
  };
  std::vector<Size> sizes;  // that of the spec, the common ones, -1
};

// A row for every kind of linear: those of one stage and shape, in all layers.
std::vector<LinearGroupSizes> group_size_table(const std::vector<StageShape>& stages, const LinearSpec& spec,
                                               const ExportFormat& format);

// What is wrong with the group size of the spec, if anything, and the flag that helps: `remedy` is "--group-size 64".
std::vector<Finding> check_group_sizes(const std::vector<StageShape>& stages, const LinearSpec& spec,
                                       const ExportFormat& format);

}  // namespace hesse
