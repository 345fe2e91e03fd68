#include "kernels/targets.h"

#include <hwy/highway.h>

namespace hesse {

using HighwayTarget = decltype(hwy::SupportedTargets());  // 32 bits before Highway 1.0

std::vector<int64_t> compiled_targets() {
  std::vector<int64_t> targets;
  for (int64_t rest = HWY_TARGETS; rest != 0; rest &= rest - 1) targets.push_back(rest & -rest);
  return targets;
}

std::vector<int64_t> simd_targets() {
  std::vector<int64_t> targets;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) targets.push_back(static_cast<int64_t>(target));
  return targets;
}

std::string target_name(int64_t target) { return hwy::TargetName(static_cast<HighwayTarget>(target)); }

void use_only_target_for_test(int64_t target) { hwy::SetSupportedTargetsForTest(static_cast<HighwayTarget>(target)); }

}  // namespace hesse
