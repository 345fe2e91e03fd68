#include "plan/loaders.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <tuple>

#include "plan/loader_rules.h"

namespace hesse {
namespace {

constexpr std::string_view kBf16 = "float16 only: start it with that type";

bool is_power_of_two(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

// 32-bit words hold so many codes, or at 3 bits three words hold 32.
int64_t packing_step(int bits) { return bits == 3 ? 32 : 32 / bits; }

// What a device holds of one linear, or of several that the engine has fused.
struct Unit {
  std::string name;  // of the first linear
  int64_t whole_in = 0;
  int64_t in = 0;
  int64_t out = 0;
  bool expert = false;
  Split split = Split::kOutputs;
};

struct Answer {
  Verdict verdict = Verdict::kYes;
  std::string why;
};

bool has(std::span<const std::string_view> list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// Of the engine and the format, with this family among its own; nullptr: none.
const FamilyLimit* limit_of(std::string_view engine, std::string_view format, std::string_view model_type) {
  for (const FamilyLimit& limit : family_limits()) {
    if (limit.engine == engine && has(limit.formats, format) && has(limit.model_types, model_type)) return &limit;
  }
  return nullptr;
}

Answer no(std::string why) { return {Verdict::kNo, std::move(why)}; }

class Judge {
 public:
  Judge(const ModelShapes& model, const PlannedOutput& output, const LoaderRule& rule, int64_t devices)
      : model_(model), output_(output), rule_(rule), devices_(devices) {}

  Answer run() {
    Answer answer = of_spec();
    if (answer.verdict == Verdict::kNo) return answer;
    if (Answer heads = of_heads(); heads.verdict != Verdict::kYes) return heads;
    if (Answer experts = of_experts(); experts.verdict != Verdict::kYes) {
      if (experts.verdict == Verdict::kNo) return experts;
      answer = std::move(experts);
    }
    if (Answer head = of_head(); head.verdict != Verdict::kYes) {
      if (head.verdict == Verdict::kNo) return head;
      answer = std::move(head);
    }
    for (const PlannedLayer& layer : model_.layers) {
      for (const PlannedStage& stage : layer.stages) {
        Answer shape = of_stage(stage);
        if (shape.verdict == Verdict::kNo) return shape;
        if (shape.verdict == Verdict::kUnknown && answer.verdict == Verdict::kYes) answer = std::move(shape);
      }
    }
    return answer;
  }

 private:
  // Bits, symmetry, group size, format, type: nothing of the shapes.
  Answer of_spec() const {
    if (!output_.others.empty() && !rule_.mixes)
      return no("linears that differ in bits or group size; it has one of each for all");
    if (Answer most = of_spec(output_.spec); most.verdict != Verdict::kYes) return most;
    for (const LinearSpec& other : output_.others) {
      if (Answer some = of_spec(other); some.verdict != Verdict::kYes) return some;
    }
    if (rule_.one_file && output_.sharded) return no("several weight files; it wants one: a larger --shard-size");
    const bool second = output_.format == "gptq_v2";
    if (second && rule_.versions == ZeroVersions::kFirst)
      return no(fmt::format("format {}; it reads zero points as those of gptq, off by one", output_.format));
    if (second && rule_.versions == ZeroVersions::kDepends)
      return {Verdict::kUnknown, fmt::format("format {}; older releases read zero points off by one", output_.format)};
    return {Verdict::kYes, remarks()};
  }

  Answer of_spec(const LinearSpec& spec) const {
    if (std::find(rule_.bits.begin(), rule_.bits.end(), spec.bits) == rule_.bits.end())
      return no(fmt::format("{} bits; it has {}", spec.bits, fmt::join(rule_.bits, ", ")));
    const auto& asymmetric = rule_.asymmetric_bits;
    if (!spec.symmetric && !asymmetric.empty() &&
        std::find(asymmetric.begin(), asymmetric.end(), spec.bits) == asymmetric.end())
      return no(fmt::format("{} bits with a zero point a group; it has {}", spec.bits, fmt::join(asymmetric, ", ")));
    if (rule_.symmetric_only && !spec.symmetric) return no("a zero point a group; it has symmetric grids only");
    return of_group_size(spec.group_size);
  }

  Answer of_group_size(int64_t size) const {
    if (size == -1) return rule_.no_whole_row ? no("a whole row a group; it has none of these") : Answer{};
    const auto& known = rule_.group_sizes;
    if (!known.empty() && std::find(known.begin(), known.end(), size) == known.end())
      return no(fmt::format("groups of {}; it has -1, {}", size, fmt::join(known, ", ")));
    if (rule_.power_of_two && !is_power_of_two(size))
      return no(fmt::format("groups of {}; it wants a power of two", size));
    return {};
  }

  std::string remarks() const {
    std::vector<std::string_view> list;
    if (rule_.f16_only && output_.bf16) list.push_back(kBf16);
    if (!rule_.note.empty()) list.push_back(rule_.note);
    if (output_.negative_scales && rule_.scales == SignedScales::kUntested)
      list.push_back("negative scales are not tested with it; --positive-scales does without");
    return fmt::format("{}", fmt::join(list, "; "));
  }

  // Every device has whole heads; keys and values are repeated where there are fewer of them than devices.
  Answer of_heads() const {
    if (model_.heads % devices_ != 0)
      return no(fmt::format("{} heads cannot be shared by {} devices", model_.heads, devices_));
    const bool even = model_.kv_heads % devices_ == 0 || devices_ % model_.kv_heads == 0;
    if (!even) return no(fmt::format("{} key heads cannot be shared by {} devices", model_.kv_heads, devices_));
    return {};
  }

  Answer of_experts() const {
    const ExpertsApart apart = rule_.experts_apart;
    if (apart == ExpertsApart::kNotRead && model_.has_experts())
      return no("experts one by one; it makes one tensor of those of a layer and leaves it as random numbers");
    if (apart == ExpertsApart::kRead || !model_.experts_together) return {};
    constexpr std::string_view kApart = "experts one by one, which in files of this family are one tensor";
    if (apart == ExpertsApart::kAsInFiles)
      return no(fmt::format("{}; it leaves them as random numbers. --format fp16 and bf16 keep that tensor", kApart));
    return {Verdict::kUnknown, fmt::format("{}: not tested", kApart)};
  }

  Answer of_head() const {
    if (!model_.plans_head() || rule_.head == PackedHead::kRead) return {};
    if (rule_.head == PackedHead::kNotRead)
      return no("a quantized head; it looks for one in 16 bit: without --lm-head");
    return {Verdict::kUnknown, "a quantized head: not tested"};
  }

  std::vector<Unit> units(const PlannedStage& stage) const {
    std::vector<Unit> units;
    for (const LinearShape& linear : stage.linears) {
      const bool first = &linear == &stage.linears.front();
      if (stage.fused && !first && linear.unit == (&linear - 1)->unit) {
        units.back().out += linear.out;
      } else {
        units.push_back({linear.name, linear.in, linear.in, linear.out, stage.expert != kNoExpert, stage.split});
      }
    }
    return units;
  }

  // Why the unit cannot be cut, or how large the part of one device is.
  Answer cut(const PlannedStage& stage, Unit& unit) const {
    if (devices_ == 1 || unit.split == Split::kNone) return {};
    int64_t& size = unit.split == Split::kInputs ? unit.in : unit.out;
    const bool keys_in_it = stage.name == "qkv" && unit.name == stage.linears.front().name;
    const bool repeats = keys_in_it && model_.kv_heads < devices_;
    const int64_t keys = repeats ? 2 * model_.kv_heads * model_.head_dim : 0;
    if ((size - keys) % devices_ != 0) {
      return no(fmt::format("'{}': {} {} cannot be shared by {} devices", unit.name, size,
                            unit.split == Split::kInputs ? "inputs" : "outputs", devices_));
    }
    size = (size - keys) / devices_ + (repeats ? 2 * model_.head_dim : 0);
    return {};
  }

  Answer of_stage(const PlannedStage& stage) const {
    Answer worst;
    for (Unit& unit : units(stage)) {
      if (Answer why = cut(stage, unit); why.verdict == Verdict::kNo) return why;
      Answer answer = of_unit(unit);
      if (answer.verdict == Verdict::kNo) return answer;
      if (answer.verdict == Verdict::kUnknown) worst = std::move(answer);
    }
    return worst;
  }

  Answer of_unit(const Unit& unit) const {
    const std::string of_device = devices_ > 1 ? fmt::format(" of one device in {}", devices_) : "";
    const auto says = [&](std::string_view what, int64_t size, int64_t step) {
      return fmt::format("'{}': {} {}{} are not a multiple of {}", unit.name, size, what, of_device, step);
    };
    const int64_t group = output_.spec.group_width(unit.whole_in);
    const bool whole_row = group >= unit.whole_in;
    if (!whole_row && !rule_.ragged && unit.in % group != 0) return no(says("inputs", unit.in, group));
    const int64_t packing = packing_step(output_.spec.bits);
    if (unit.in % packing != 0) return no(says("inputs", unit.in, packing));
    if (unit.out % packing != 0) return no(says("outputs", unit.out, packing));
    const int64_t in_step = step_of(unit, Split::kInputs, rule_.in_step);
    const int64_t out_step = step_of(unit, Split::kOutputs, rule_.out_step);
    for (const auto& [what, size, step] :
         {std::tuple("inputs", unit.in, in_step), std::tuple("outputs", unit.out, out_step)}) {
      if (step == 0 || size % step == 0) continue;
      if (!rule_.pads) return no(says(what, size, step));
      return {Verdict::kUnknown, says(what, size, step) + ": newer releases fill up, older ones refuse"};
    }
    return {};
  }

  // The cut side of experts follows a rule of its own.
  int64_t step_of(const Unit& unit, Split side, int64_t step) const {
    if (!unit.expert || rule_.expert_step == 0 || unit.split != side) return step;
    return std::max(rule_.expert_step, output_.spec.group_size);
  }

  const ModelShapes& model_;
  const PlannedOutput& output_;
  const LoaderRule& rule_;
  int64_t devices_;
};

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  return verdict == Verdict::kYes ? "yes" : verdict == Verdict::kNo ? "no" : "unknown";
}

std::vector<LoaderRow> loader_table(const ModelShapes& model, const PlannedOutput& output) {
  constexpr int64_t kDevices[] = {1, 2, 4, 8};
  std::vector<LoaderRow> rows;
  for (const LoaderRule& rule : loader_rules()) {
    if (!has(rule.formats, output.format)) continue;
    const FamilyLimit* limit = limit_of(rule.engine, output.format, model.model_type);
    for (const int64_t devices : kDevices) {
      if (devices > 1 && !rule.cuts) break;
      if (limit != nullptr) {
        rows.push_back({rule.engine, rule.kernel, devices, Verdict::kNo,
                        fmt::format("'{}' models: {}", model.model_type, limit->why), limit->source, limit->date});
        continue;
      }
      Answer answer = Judge(model, output, rule, devices).run();
      rows.push_back(
          {rule.engine, rule.kernel, devices, answer.verdict, std::move(answer.why), rule.source, rule.date});
    }
  }
  return rows;
}

}  // namespace hesse
