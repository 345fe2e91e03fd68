// What every run says of the machine and leaves in its work directory.
#pragma once

#include <filesystem>

#include "hesse/events.h"
#include "run/work_directory.h"

namespace hesse {

// Versions of what does the arithmetic, the processor, threads, and the peak of memory so far.
void describe_machine(RunRecord& record);

WorkDirectory::Setup work_setup(const Job& job, const std::filesystem::path& target, bool resume);

}  // namespace hesse
