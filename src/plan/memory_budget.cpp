// What to turn when the memory is too small, and what a run leaves on the disk.
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "plan/memory.h"
#include "plan/prediction.h"

namespace hesse {
namespace {

constexpr int64_t kFewestSequences = 16;
constexpr double kGb = 1e9;

// Room for the Hessian of the widest stage and for one of what is held out.
int64_t hessian_room(const ModelShapes& model) {
  const double in = static_cast<double>(model.widest_in());
  return static_cast<int64_t>(std::min(2 * 8 * in * in, 4e18));
}

// Turns one knob after the other until `enough`.
class Knobs {
 public:
  Knobs(const ModelShapes& model, const MemorySettings& settings, int64_t budget)
      : model_(model), budget_(budget), advice_{.fits = false, .turned = {}, .settings = settings, .peak_bytes = 0} {
    judge();
  }

  MemoryAdvice turn(Spilling spilling) {
    MemorySettings& s = advice_.settings;
    if (!advice_.fits && spilling == Spilling::kAllowed && s.size.tokens() > 0) {
      s.spill = true;
      told("spill");
    }
    if (!advice_.fits && s.size.solves) cut_hessians();
    if (!advice_.fits && s.size.streams() == 2) {
      s.size.targets.shift = s.size.targets.residual = 0;
      told("--shift 0 --residual 0");
    }
    if (!advice_.fits && !s.spill) take_fewer_samples();
    return advice_;
  }

 private:
  void judge() {
    advice_.peak_bytes = plan_memory(model_, advice_.settings).peak_bytes();
    advice_.fits = advice_.peak_bytes <= budget_;
  }
  void told(std::string what) {
    advice_.turned.push_back(std::move(what));
    judge();
  }

  // No further than to blocks of one group, nor once less room changes nothing.
  void cut_hessians() {
    int64_t& room = advice_.settings.size.hessian_bytes;
    const int64_t before = room, peak_before = advice_.peak_bytes;
    int64_t best = room, least = advice_.peak_bytes;
    for (int64_t r = std::min(room, hessian_room(model_)); r >= 1 << 20 && !advice_.fits; r = r / 4 * 3) {
      room = r;
      judge();
      if (advice_.peak_bytes < least) {
        least = advice_.peak_bytes;
        best = r;
      }
    }
    room = least < peak_before ? best : before;
    judge();
    if (room != before) told(fmt::format("--hessian-memory {:.3g}", static_cast<double>(room) / kGb));
  }

  void take_fewer_samples() {
    int64_t& sequences = advice_.settings.size.sequences;
    const int64_t before = sequences;
    while (!advice_.fits && sequences / 2 >= kFewestSequences) {
      sequences /= 2;
      judge();
    }
    if (sequences != before) told(fmt::format("--samples {}", sequences));
  }

  const ModelShapes& model_;
  int64_t budget_;
  MemoryAdvice advice_;
};

}  // namespace

MemoryAdvice fit_memory(const ModelShapes& model, const MemorySettings& settings, int64_t budget_bytes,
                        Spilling spilling) {
  return Knobs(model, settings, budget_bytes).turn(spilling);
}

int64_t smallest_memory(const ModelShapes& model, const MemorySettings& settings, Spilling spilling) {
  return fit_memory(model, settings, 0, spilling).peak_bytes;
}

DiskPlan plan_disk(const ModelShapes& model, const MemorySettings& settings, const ExportFormat& format) {
  double packed = 0, spill = 0;
  for (const PlannedLayer& layer : model.layers) {
    for (const PlannedStage& stage : layer.stages) {
      for (const LinearShape& linear : stage.linears) {
        for (const TensorSpec& tensor : format.tensors(linear.name, linear.out, linear.in, settings.spec))
          packed += static_cast<double>(stage.copies) * static_cast<double>(tensor.bytes());
      }
    }
  }
  const double rest = (model.parameters() - model.linear_weights()) * static_cast<double>(settings.file_bytes);
  if (settings.spill) {
    constexpr double kFloat = 4;
    spill = 2 * static_cast<double>(settings.size.streams()) * static_cast<double>(settings.size.tokens()) *
            static_cast<double>(model.hidden) * kFloat;
  }
  const auto whole = [](double bytes) { return static_cast<int64_t>(std::min(bytes, 9e18)); };
  return {whole(packed + rest), whole(packed), whole(spill)};
}

}  // namespace hesse
