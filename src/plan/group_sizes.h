// Which group sizes fit a model: answers before any work.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/block.h"
#include "quant/spec.h"

namespace hesse {

// Multiples of 32 that divide the input width of every linear, ascending. -1 always fits and is not listed.
std::vector<int64_t> dividing_group_sizes(const std::vector<StageShape>& stages);

// "32, 64, 96, 192 or -1"
std::string group_size_advice(const std::vector<StageShape>& stages);

// What to tell a user whose group size leaves a shorter last group somewhere; empty when it divides every width.
std::string ragged_group_note(const std::vector<StageShape>& stages, const LinearSpec& spec);

}  // namespace hesse
