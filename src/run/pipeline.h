// The layer-by-layer run: from a checked job to a complete result directory.
#pragma once

#include <filesystem>

#include "hesse/events.h"
#include "run/job.h"

namespace hesse {

// Quantizes `job` into the empty directory `result` and verifies it. Calls the listener between linears, from this
// thread; when it asks to stop, throws Error(kInterrupted). The record lacks what the caller knows better: inputs and
// versions.
RunRecord run_job(const Job& job, const std::filesystem::path& result, const std::string& version, Listener& listener);

}  // namespace hesse
