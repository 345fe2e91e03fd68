#include "plan/group_sizes.h"

#include <fmt/format.h>

#include <numeric>

namespace hesse {

std::vector<int64_t> dividing_group_sizes(const std::vector<StageShape>& stages) {
  constexpr int64_t kStep = 32;  // engines take multiples of 32 only
  int64_t common = 0;
  for (const StageShape& stage : stages) common = std::gcd(common, stage.in());
  std::vector<int64_t> sizes;
  for (int64_t size = kStep; size <= common; size += kStep) {
    if (common % size == 0) sizes.push_back(size);
  }
  return sizes;
}

std::string group_size_advice(const std::vector<StageShape>& stages) {
  const std::vector<int64_t> sizes = dividing_group_sizes(stages);
  return sizes.empty() ? "-1" : fmt::format("{} or -1", fmt::join(sizes, ", "));
}

std::string ragged_group_note(const std::vector<StageShape>& stages, const LinearSpec& spec) {
  for (const StageShape& stage : stages) {
    const int64_t width = spec.group_width(stage.in());
    if (stage.in() % width == 0) continue;
    return fmt::format(
        "'{}' has {} inputs = {} x {} + {}: the last group is shorter, which the Marlin and ExLlama kernels "
        "refuse; group sizes that divide every width: {}",
        stage.linears.front().name, stage.in(), stage.in() / width, width, stage.in() % width,
        group_size_advice(stages));
  }
  return "";
}

}  // namespace hesse
