// What to turn when the memory is too small, and what a run leaves on the disk.
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "plan/memory.h"
#include "plan/prediction.h"

namespace hesse {
namespace {

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
      : model_(model), budget_(budget), advice_{.fits = false, .flags = {}, .settings = settings, .peak_bytes = 0} {
    judge();
  }

  MemoryAdvice turn() {
    MemorySettings& s = advice_.settings;
    if (!advice_.fits && s.size.tokens() > 0) {
      s.spill = true;
      judge();
    }
    if (!advice_.fits && s.size.solves) cut_hessians();
    if (!advice_.fits && s.size.streams() == 2) {
      s.size.targets.shift = s.size.targets.residual = 0;
      told("--shift 0 --residual 0");
    }
    return advice_;
  }

 private:
  void judge() {
    advice_.peak_bytes = plan_memory(model_, advice_.settings).peak_bytes();
    advice_.fits = with_margin(advice_.peak_bytes) <= budget_;
  }
  void told(std::string what) {
    advice_.flags.push_back(std::move(what));
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

  const ModelShapes& model_;
  int64_t budget_;
  MemoryAdvice advice_;
};

}  // namespace

MemoryAdvice fit_memory(const ModelShapes& model, const MemorySettings& settings, int64_t budget_bytes) {
  return Knobs(model, settings, budget_bytes).turn();
}

DiskPlan plan_disk(const ModelShapes& model, const MemorySettings& settings, const ExportFormat& format,
                   const StageParts& parts) {
  const ExportFormat& working = working_format(format);
  double packed = 0, units = 0, spill = 0, rest = model.parameters() - model.linear_weights();
  for (size_t l = 0; l < model.layers.size(); ++l) {
    for (size_t s = 0; s < model.layers[l].stages.size(); ++s) {
      const PlannedStage& stage = model.layers[l].stages[s];
      if (part_of(parts, l, s) != StagePart::kAll) {
        rest += stage_weights(stage);
        continue;
      }
      const LinearSpec& spec = model.layers[l].is_head() ? settings.head : settings.spec;
      for (const LinearShape& linear : stage.linears) {
        for (const TensorSpec& tensor : format.tensors(linear.name, linear.out, linear.in, spec))
          packed += static_cast<double>(tensor.bytes());
        for (const TensorSpec& tensor : working.tensors(linear.name, linear.out, linear.in, spec))
          units += static_cast<double>(tensor.bytes());
      }
    }
  }
  rest *= static_cast<double>(settings.file_bytes);
  if (settings.spill) {
    constexpr double kFloat = 4;
    // The residual stream, an input and the one before it (run/streams.h).
    const double row = static_cast<double>(model.hidden) * kFloat +
                       2 * static_cast<double>(model.widest_in()) * static_cast<double>(settings.compute_bytes);
    spill = static_cast<double>(settings.size.streams()) * static_cast<double>(settings.size.tokens()) * row;
  }
  const auto whole = [](double bytes) { return static_cast<int64_t>(std::min(bytes, 9e18)); };
  return {whole(packed + rest), whole(units), whole(spill)};
}

}  // namespace hesse
