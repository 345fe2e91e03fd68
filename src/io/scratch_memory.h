// Memory that the system may write to disk: a file that nobody else sees, mapped. It counts as memory of the process
// only while it is looked at.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/matrix.h"

namespace hesse {

// Of a file in `folder` that has no name any more and is gone with the memory. Its room on the disk is taken at once:
// Error(kEnvironment) when there is too little.
ForeignMemory scratch_memory(const std::filesystem::path& folder, int64_t bytes);

// These bytes of scratch memory are not needed soon: they stay in the file, not in the process. Of other memory nothing
// would be left.
void put_aside(const void* data, int64_t bytes);

}  // namespace hesse
