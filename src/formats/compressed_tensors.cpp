#include "formats/compressed_tensors.h"

#include <fmt/format.h>

#include "formats/module_patterns.h"
#include "formats/packed.h"
#include "quant/pack.h"

namespace hesse {
namespace {

// Zero points lie along the outputs, a column for every group: zeros [groups, out] -> words [words, groups].
Matrix<uint32_t> packed_zeros(const QuantizedLinear& linear) {
  Matrix<uint32_t> words(packed_words(linear.out(), linear.spec.bits), linear.zeros.rows());
  pack_cols_transposed(linear.zeros.view(), linear.spec.bits, words.view());
  return words;
}

Matrix<uint16_t> scales_by_output(const QuantizedLinear& linear) {
  const Matrix<uint16_t> by_group = half_scales(linear);
  Matrix<uint16_t> by_output(by_group.cols(), by_group.rows());
  for (int64_t g = 0; g < by_group.rows(); ++g) {
    for (int64_t o = 0; o < by_group.cols(); ++o) by_output(o, g) = by_group(g, o);
  }
  return by_output;
}

// One of "config_groups".
Json scheme_json(const LinearSpec& spec, bool act_order, const std::vector<std::string>& targets) {
  const bool whole_row = spec.group_size == -1;
  Json weights = Json::object();
  weights.set("num_bits", spec.bits);
  weights.set("type", "int");
  weights.set("symmetric", spec.symmetric);
  weights.set("strategy", whole_row ? "channel" : "group");
  weights.set("group_size", whole_row ? Json(nullptr) : Json(spec.group_size));
  weights.set("dynamic", false);
  weights.set("actorder", act_order && !whole_row ? Json("group") : Json(nullptr));
  weights.set("block_structure", nullptr);
  weights.set("observer", "minmax");
  weights.set("observer_kwargs", Json::object());
  Json names = Json::array();
  for (const std::string& target : targets) names.push_back(target);
  Json group = Json::object();
  group.set("targets", std::move(names));
  group.set("input_activations", nullptr);
  group.set("output_activations", nullptr);
  group.set("weights", std::move(weights));
  return group;
}

}  // namespace

std::string CompressedTensorsFormat::why_not(int64_t out, int64_t in, const LinearSpec& spec) const {
  if (std::string problem = spec_problem(out, in, {.bits = spec.bits, .group_size = -1}); !problem.empty())
    return problem;
  if (std::string problem = packing_problem(out, in, spec); !problem.empty()) return problem;
  if (std::string problem = spec_problem(out, in, spec); !problem.empty()) return problem;
  return ragged_problem(in, spec);
}

std::string CompressedTensorsFormat::why_not(const QuantizedLinear& linear) const {
  const std::string problem = why_not(linear.out(), linear.in(), linear.spec);
  return problem.empty() ? value_problem(linear, 0) : problem;
}

std::vector<TensorSpec> CompressedTensorsFormat::layout(std::string_view module, const LinearForm& form) const {
  const std::string prefix = std::string(module) + ".";
  const int bits = form.spec.bits;
  const int64_t groups = form.spec.groups(form.in);
  std::vector<TensorSpec> tensors = {
      {.name = prefix + "weight_packed", .dtype = DType::kI32, .shape = {form.out, packed_words(form.in, bits)}},
      {.name = prefix + "weight_scale", .dtype = DType::kF16, .shape = {form.out, groups}},
      {.name = prefix + "weight_shape", .dtype = DType::kI64, .shape = {2}}};
  if (!form.spec.symmetric) {
    tensors.push_back(
        {.name = prefix + "weight_zero_point", .dtype = DType::kI32, .shape = {packed_words(form.out, bits), groups}});
  }
  if (form.act_order) tensors.push_back({.name = prefix + "weight_g_idx", .dtype = DType::kI32, .shape = {form.in}});
  return tensors;
}

void CompressedTensorsFormat::write(std::string_view module, const QuantizedLinear& linear,
                                    const TensorSink& sink) const {
  if (const std::string problem = why_not(linear); !problem.empty()) broken({name(), module}, problem);
  const std::string prefix = std::string(module) + ".";
  Matrix<uint32_t> packed(linear.out(), packed_words(linear.in(), linear.spec.bits));
  pack_cols(linear.codes.view(), linear.spec.bits, packed.view());
  sink(prefix + "weight_packed", bytes_of(packed, packed.size()));
  const Matrix<uint16_t> scales = scales_by_output(linear);
  sink(prefix + "weight_scale", bytes_of(scales, scales.size()));
  const std::vector<int64_t> shape = {linear.out(), linear.in()};
  sink(prefix + "weight_shape", bytes_of(shape, 2));
  if (!linear.spec.symmetric) {
    const Matrix<uint32_t> zeros = packed_zeros(linear);
    sink(prefix + "weight_zero_point", bytes_of(zeros, zeros.size()));
  }
  if (form_of(linear).act_order) sink(prefix + "weight_g_idx", bytes_of(linear.group_of, linear.in()));
}

std::span<const std::string_view> CompressedTensorsFormat::suffixes() const {
  static constexpr std::string_view kSuffixes[] = {"weight_packed", "weight_scale", "weight_shape", "weight_zero_point",
                                                   "weight_g_idx"};
  return kSuffixes;
}

// The schema of older readers forbids members that it does not know, so there is no "meta".
Json CompressedTensorsFormat::config(const FormatConfig& config) const {
  const auto specs = modules_by_spec(config.packed);
  Json groups = Json::object();
  if (specs.size() < 2) {
    groups.set("group_0", scheme_json(specs.empty() ? config.spec : specs.front().first, config.act_order, {"Linear"}));
  } else {
    // vLLM looks for the class before it looks for the parts of a fused linear, so that none may be named beside rules.
    for (const auto& [spec, modules] : specs) {
      std::vector<std::string> targets = packed_patterns(modules);
      for (std::string& target : targets) target.insert(0, "re:");
      groups.set(fmt::format("group_{}", groups.as_object("groups").size()),
                 scheme_json(spec, config.act_order, targets));
    }
  }
  Json ignored = Json::array();
  for (const std::string& module : config.plain) ignored.push_back(module);

  Json object = Json::object();
  object.set("quant_method", "compressed-tensors");
  object.set("format", "pack-quantized");
  object.set("quantization_status", "compressed");
  object.set("global_compression_ratio", nullptr);
  object.set("kv_cache_scheme", nullptr);
  object.set("ignore", std::move(ignored));
  object.set("config_groups", std::move(groups));
  return object;
}

}  // namespace hesse
