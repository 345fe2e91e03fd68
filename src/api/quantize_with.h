// quantize() with what only tests set otherwise.
#pragma once

#include "hesse/api.h"
#include "run/snapshot.h"

namespace hesse {

struct QuantizeSettings {
  bool predict = true;  // measure the machine and foretell the time
  SnapshotRule snapshots;
};

RunRecord quantize_with(const QuantizeOptions& options, Listener& listener, const QuantizeSettings& settings);

}  // namespace hesse
