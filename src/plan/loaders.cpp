#include "plan/loaders.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace hesse {
namespace {

enum class Scales { kTested, kUntested };         // negative ones, in a test of ours
enum class Versions { kBoth, kFirst, kDepends };  // formats gptq and gptq_v2; v2 not, or not in every release

// One kernel of one engine. Steps: what the sizes that one device holds must be multiples of; 0: what packing needs.
struct Rule {
  std::string_view engine, kernel;
  std::vector<int> bits;
  bool symmetric_only = false;
  std::vector<int64_t> group_sizes = {};  // empty: any
  bool power_of_two = false;
  bool ragged = false;  // a shorter last group
  int64_t in_step = 1;
  int64_t out_step = 1;
  bool pads = false;        // newer releases fill up to in_step and out_step by themselves
  int64_t expert_step = 0;  // of the inner width of experts, at least a group; 0: as other linears
  bool f16_only = false;
  Versions versions = Versions::kBoth;
  Scales scales = Scales::kUntested;
  bool one_file = false;  // no shards
  bool cuts = false;      // tensor parallelism
  std::string_view note = {};
  std::string_view source, date;
};

constexpr std::string_view kBf16 = "float16 only: start it with that type";

// What kernels ask for, as their loaders check it. Kernels multiply by a scale and need not look at its sign; our
// interop test loads negative ones in GPTQModel and transformers, and a shorter last group too.
const std::vector<Rule> kRules = {
    {.engine = "vLLM",
     .kernel = "Marlin",
     .bits = {4, 8},
     .symmetric_only = true,
     .group_sizes = {32, 64, 128},
     .in_step = 128,
     .out_step = 64,
     .pads = true,
     .expert_step = 64,
     .cuts = true,
     .source = "vllm-project/vllm: vllm/model_executor/layers/quantization/utils/marlin_utils.py, auto_gptq.py",
     .date = "2026-11"},
    {.engine = "vLLM",
     .kernel = "gptq_gemm",
     .bits = {2, 3, 4, 8},
     .in_step = 0,
     .out_step = 0,
     .f16_only = true,
     .versions = Versions::kDepends,
     .cuts = true,
     .note = "in releases that still have it; the newest load what Marlin takes and nothing else",
     .source = "vllm-project/vllm: vllm/model_executor/layers/quantization/gptq.py; pull request 26092",
     .date = "2026-11"},
    {.engine = "SGLang",
     .kernel = "gptq_marlin",
     .bits = {4, 8},
     .symmetric_only = true,
     .group_sizes = {32, 64, 128},
     .in_step = 128,
     .out_step = 64,
     .expert_step = 64,
     .cuts = true,
     .source = "sgl-project/sglang: python/sglang/srt/layers/quantization/gptq.py, marlin_utils.py",
     .date = "2026-11"},
    {.engine = "SGLang",
     .kernel = "gptq",
     .bits = {2, 3, 4, 8},
     .in_step = 0,
     .out_step = 0,
     .f16_only = true,
     .versions = Versions::kFirst,
     .cuts = true,
     .source = "sgl-project/sglang: python/sglang/srt/layers/quantization/gptq.py",
     .date = "2026-11"},
    {.engine = "transformers",
     .kernel = "GPTQModel torch",
     .bits = {2, 3, 4, 8},
     .group_sizes = {16, 32, 64, 128, 256, 512, 1024},
     .ragged = true,
     .scales = Scales::kTested,
     .source = "ModelCloud/GPTQModel: gptqmodel/nn_modules/qlinear/torch.py (7.7.0); huggingface/transformers: "
               "src/transformers/quantizers/quantizer_gptq.py",
     .date = "2026-11"},
    {.engine = "ExLlamaV2",
     .kernel = "gptq",
     .bits = {4},
     .power_of_two = true,
     .in_step = 32,
     .source = "turboderp-org/exllamav2: exllamav2/linear.py, exllamav2/ext.py (da07facd)",
     .date = "2026-08"},
    {.engine = "AutoGPTQ",
     .kernel = "exllama",
     .bits = {4},
     .in_step = 32,
     .out_step = 32,
     .versions = Versions::kFirst,
     .source = "AutoGPTQ/AutoGPTQ: auto_gptq/nn_modules/qlinear/qlinear_exllama.py (v0.7.1)",
     .date = "2026-08"},
    {.engine = "AutoGPTQ",
     .kernel = "cuda-old",
     .bits = {2, 3, 4, 8},
     .in_step = 0,
     .out_step = 0,
     .versions = Versions::kFirst,
     .source = "AutoGPTQ/AutoGPTQ: auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py (v0.7.1)",
     .date = "2026-08"},
    {.engine = "GPTQModel",
     .kernel = "torch",
     .bits = {2, 3, 4, 8},
     .group_sizes = {16, 32, 64, 128, 256, 512, 1024},
     .ragged = true,
     .scales = Scales::kTested,
     .source = "ModelCloud/GPTQModel: gptqmodel/nn_modules/qlinear/torch.py (7.7.0)",
     .date = "2026-11"},
    {.engine = "GPTQModel",
     .kernel = "ExLlamaV2",
     .bits = {4},
     .group_sizes = {32, 64, 128},
     .in_step = 32,
     .out_step = 32,
     .source = "ModelCloud/GPTQModel: gptqmodel/nn_modules/qlinear/exllamav2.py (7.7.0)",
     .date = "2026-11"},
    {.engine = "GPTQModel",
     .kernel = "Marlin",
     .bits = {4, 8},
     .symmetric_only = true,
     .group_sizes = {32, 64, 128},
     .out_step = 64,
     .source = "ModelCloud/GPTQModel: gptqmodel/nn_modules/qlinear/marlin.py (7.7.0)",
     .date = "2026-11"},
    {.engine = "GPTQModel",
     .kernel = "Machete",
     .bits = {4, 8},
     .group_sizes = {64, 128},
     .in_step = 64,
     .out_step = 128,
     .one_file = true,
     .source = "ModelCloud/GPTQModel: gptqmodel/nn_modules/qlinear/machete.py, models/loader.py (7.7.0)",
     .date = "2026-11"},
};

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

Answer no(std::string why) { return {Verdict::kNo, std::move(why)}; }

class Judge {
 public:
  Judge(const ModelShapes& model, const PlannedOutput& output, const Rule& rule, int64_t devices)
      : model_(model), output_(output), rule_(rule), devices_(devices) {}

  Answer run() {
    Answer answer = of_spec();
    if (answer.verdict == Verdict::kNo) return answer;
    if (Answer heads = of_heads(); heads.verdict != Verdict::kYes) return heads;
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
    const LinearSpec& spec = output_.spec;
    if (std::find(rule_.bits.begin(), rule_.bits.end(), spec.bits) == rule_.bits.end())
      return no(fmt::format("{} bits; it has {}", spec.bits, fmt::join(rule_.bits, ", ")));
    if (rule_.symmetric_only && !spec.symmetric) return no("a zero point a group; it has symmetric grids only");
    if (Answer group = of_group_size(); group.verdict != Verdict::kYes) return group;
    if (rule_.one_file && output_.sharded) return no("several weight files; it wants one: a larger --shard-size");
    const bool second = output_.format == "gptq_v2";
    if (second && rule_.versions == Versions::kFirst)
      return no(fmt::format("format {}; it reads zero points as those of gptq, off by one", output_.format));
    if (second && rule_.versions == Versions::kDepends)
      return {Verdict::kUnknown, fmt::format("format {}; older releases read zero points off by one", output_.format)};
    return {Verdict::kYes, remarks()};
  }

  Answer of_group_size() const {
    const int64_t size = output_.spec.group_size;
    if (size == -1) return {};  // a whole row; every one has it
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
    if (output_.negative_scales && rule_.scales == Scales::kUntested)
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
  const Rule& rule_;
  int64_t devices_;
};

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  return verdict == Verdict::kYes ? "yes" : verdict == Verdict::kNo ? "no" : "unknown";
}

std::vector<LoaderRow> loader_table(const ModelShapes& model, const PlannedOutput& output) {
  constexpr int64_t kDevices[] = {1, 2, 4, 8};
  std::vector<LoaderRow> rows;
  for (const Rule& rule : kRules) {
    for (const int64_t devices : kDevices) {
      if (devices > 1 && !rule.cuts) break;
      Answer answer = Judge(model, output, rule, devices).run();
      rows.push_back(
          {rule.engine, rule.kernel, devices, answer.verdict, std::move(answer.why), rule.source, rule.date});
    }
  }
  return rows;
}

}  // namespace hesse
