// Plans in words: what a check tells of memory, disk and engines.
#pragma once

#include <cstdint>
#include <vector>

#include "hesse/types.h"
#include "plan/loaders.h"
#include "plan/memory.h"

namespace hesse {

// "memory.fits", "memory.spill" (activations will lie in files), or an error: "memory.too-little" with the flags that
// help, "memory.impossible" when none does.
Finding memory_finding(const ModelShapes& model, const MemorySettings& settings, int64_t budget_bytes);

// "disk.fits" or "disk.too-little".
Finding disk_finding(const DiskPlan& plan, int64_t free_bytes);

// One for each engine, "loader.vllm": its best kernel on one device, and how many devices will do.
std::vector<Finding> loader_findings(const std::vector<LoaderRow>& table);

}  // namespace hesse
