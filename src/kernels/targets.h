// The instruction sets the kernels were compiled for. Users get the best one that the processor has (simd_target());
// the tests run every kernel on each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hesse {

// A target is Highway's number for it. The best comes first.
std::vector<int64_t> compiled_targets();
std::vector<int64_t> simd_targets();  // those among them that this processor has
std::string target_name(int64_t target);

// From now on all kernels run on `target`, one of simd_targets(); 0: on the best one again. No kernel may be running.
void use_only_target_for_test(int64_t target);

}  // namespace hesse
