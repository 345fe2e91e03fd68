#include "formats/awq.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/checked.h"
#include "base/threads.h"
#include "formats/packed.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr int kBits = 4;
constexpr int64_t kCodes = 8;  // in a word
// Slot i of a word holds the output 8c + kOutputOf[i].
constexpr int kOutputOf[kCodes] = {0, 2, 4, 6, 1, 3, 5, 7};
constexpr int64_t kStrip = 16;  // words side by side that a task takes: one cache line

// body(word, the eight rows of `codes` that it is made of), for rows [out, n] and words [n, out / 8].
template <class Body>
void for_each_strip(int64_t words, const Body& body) {
  parallel_for(ceil_div(words, kStrip),
               [&](int64_t strip) { body(strip * kStrip, std::min((strip + 1) * kStrip, words)); });
}

Matrix<uint32_t> interleave(const Matrix<uint8_t>& codes) {
  Matrix<uint32_t> words(codes.cols(), codes.rows() / kCodes);
  for_each_strip(words.cols(), [&](int64_t first, int64_t last) {
    for (int64_t i = 0; i < words.rows(); ++i) {
      for (int64_t c = first; c < last; ++c) {
        uint32_t word = 0;
        for (int slot = 0; slot < kCodes; ++slot)
          word |= static_cast<uint32_t>(codes(c * kCodes + kOutputOf[slot], i)) << (slot * kBits);
        words(i, c) = word;
      }
    }
  });
  return words;
}

Matrix<uint8_t> separate(const Matrix<uint32_t>& words) {
  Matrix<uint8_t> codes(words.cols() * kCodes, words.rows());
  for_each_strip(words.cols(), [&](int64_t first, int64_t last) {
    for (int64_t i = 0; i < words.rows(); ++i) {
      for (int64_t c = first; c < last; ++c) {
        for (int slot = 0; slot < kCodes; ++slot)
          codes(c * kCodes + kOutputOf[slot], i) = static_cast<uint8_t>(words(i, c) >> (slot * kBits) & 15u);
      }
    }
  });
  return codes;
}

Matrix<uint8_t> transposed_of(const Matrix<uint8_t>& matrix) {
  Matrix<uint8_t> result(matrix.cols(), matrix.rows());
  for (int64_t r = 0; r < matrix.rows(); ++r) {
    for (int64_t c = 0; c < matrix.cols(); ++c) result(c, r) = matrix(r, c);
  }
  return result;
}

[[noreturn]] void refuse_config(const std::string& what) {
  throw Error(ErrorKind::kBadInput, "[awq] quantization_config: " + what);
}

// The value under `key` or, in older files, under `older`.
int64_t number(const Json& config, const char* key, const char* older) {
  const Json* value = config.find_value(key);
  if (value == nullptr) value = config.find_value(older);
  if (value == nullptr) refuse_config(fmt::format("'{}' is missing", key));
  return value->as_int(std::string("quantization_config.") + key);
}

int64_t group_size_of(const Json& config) {
  if (const int64_t bits = number(config, "bits", "w_bit"); bits != kBits)
    refuse_config(fmt::format("bits = {}, only {} can be read", bits, kBits));
  const int64_t size = number(config, "group_size", "q_group_size");
  if (size < -1 || size == 0) refuse_config(fmt::format("group_size = {}, must be -1 (whole row) or positive", size));
  return size;
}

std::optional<bool> symmetry_of(const Json& config) {
  const Json* value = config.find_value("sym");
  if (value == nullptr) return std::nullopt;
  return value->as_bool("quantization_config.sym");
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

std::string AwqFormat::why_not(int64_t out, int64_t in, const LinearSpec& spec) const {
  if (std::string problem = spec_problem(out, in, {.bits = spec.bits, .group_size = -1}); !problem.empty())
    return problem;
  if (spec.bits != kBits) return fmt::format("bits = {}, the layout has {} only", spec.bits, kBits);
  if (out % kCodes != 0) return fmt::format("out = {} is not a multiple of {} (32 / {} bits)", out, kCodes, kBits);
  if (std::string problem = spec_problem(out, in, spec); !problem.empty()) return problem;
  return ragged_problem(in, spec);
}

std::string AwqFormat::why_not(const QuantizedLinear& linear) const {
  if (std::string problem = why_not(linear.out(), linear.in(), linear.spec); !problem.empty()) return problem;
  if (std::string problem = value_problem(linear, 0); !problem.empty()) return problem;
  return order_problem(linear);
}

std::vector<TensorSpec> AwqFormat::layout(std::string_view module, const LinearForm& form) const {
  const std::string prefix = std::string(module) + ".";
  const int64_t groups = form.spec.groups(form.in), words = form.out / kCodes;
  return {{.name = prefix + "qweight", .dtype = DType::kI32, .shape = {form.in, words}},
          {.name = prefix + "qzeros", .dtype = DType::kI32, .shape = {groups, words}},
          {.name = prefix + "scales", .dtype = DType::kF16, .shape = {groups, form.out}}};
}

void AwqFormat::write(std::string_view module, const QuantizedLinear& linear, const TensorSink& sink) const {
  if (const std::string problem = why_not(linear); !problem.empty()) broken({name(), module}, problem);
  const std::string prefix = std::string(module) + ".";
  const Matrix<uint32_t> qweight = interleave(linear.codes);
  sink(prefix + "qweight", bytes_of(qweight, qweight.size()));
  const Matrix<uint32_t> qzeros = interleave(transposed_of(linear.zeros));
  sink(prefix + "qzeros", bytes_of(qzeros, qzeros.size()));
  const Matrix<uint16_t> scales = half_scales(linear);
  sink(prefix + "scales", bytes_of(scales, scales.size()));
}

Json AwqFormat::config(const FormatConfig& config) const {
  Json meta = Json::object();
  meta.set("quantizer", Json::Array{Json(config.tool_version)});
  for (const auto& [key, value] : config.meta.as_object("meta")) meta.set(key, value);
  Json plain = Json::array();
  for (const std::string& module : config.plain) plain.push_back(module);
  Json object = Json::object();
  object.set("quant_method", "awq");
  object.set("bits", config.spec.bits);
  object.set("group_size", config.spec.group_size);
  object.set("zero_point", true);  // of the layout: there is a tensor of them, whatever it holds
  object.set("version", "gemm");
  object.set("sym", config.spec.symmetric);
  object.set("modules_to_not_convert", config.plain.empty() ? Json(nullptr) : std::move(plain));
  object.set("meta", std::move(meta));
  return object;
}

std::span<const std::string_view> AwqFormat::suffixes() const {
  static constexpr std::string_view kSuffixes[] = {"qweight", "qzeros", "scales"};
  return kSuffixes;
}

std::vector<std::string> AwqFormat::listed_as_plain(const Json& quantization_config) const {
  std::vector<std::string> modules;
  const Json* list = quantization_config.find_value("modules_to_not_convert");
  if (list == nullptr) return modules;
  for (const Json& entry : list->as_array("quantization_config.modules_to_not_convert"))
    modules.push_back(entry.as_string("quantization_config.modules_to_not_convert"));
  return modules;
}

bool AwqFormat::recognises(const Json& quantization_config) const {
  const Json* method = quantization_config.find_value("quant_method");
  if (method == nullptr || method->as_string("quantization_config.quant_method") != "awq") return false;
  for (const char* key : {"version", "format", "checkpoint_format"}) {
    const Json* value = quantization_config.find_value(key);
    if (value == nullptr || lower(value->as_string(std::string("quantization_config.") + key)) == "gemm") continue;
    refuse_config(fmt::format("{} is {}, only \"gemm\" can be read", key, value->dump()));
  }
  return true;
}

LinearSize AwqFormat::size(const Checkpoint& checkpoint, std::string_view module) const {
  const TensorView& qweight = find_tensor({name(), module}, checkpoint, {"qweight"});
  return {.out = checked_mul(qweight.spec.shape[1], kCodes, "words x 8"), .in = qweight.spec.shape[0]};
}

QuantizedLinear AwqFormat::read(const Checkpoint& checkpoint, std::string_view module,
                                const Json& quantization_config) const {
  const Place place{name(), module};
  const auto [out, in] = size(checkpoint, module);
  QuantizedLinear linear;
  linear.spec = {.bits = kBits, .group_size = group_size_of(quantization_config)};
  if (linear.spec.group_size > in)
    refuse(place, fmt::format("group_size = {} is larger than in = {}", linear.spec.group_size, in));
  if (const std::string problem = ragged_problem(in, linear.spec); !problem.empty()) refuse(place, problem);
  const int64_t groups = linear.spec.groups(in), words = out / kCodes;
  const TensorView& qzeros = find_tensor(place, checkpoint, {"qzeros"});
  check_shape(place, qzeros, "qzeros", {groups, words});
  const TensorView& scales = find_tensor(place, checkpoint, {"scales", Stored::kScales});
  check_shape(place, scales, "scales", {groups, out});

  linear.scales = copy_scales(scales);
  require_finite(place, linear.scales);
  linear.zeros = transposed_of(separate(copy_tensor<uint32_t>(qzeros, groups, words)));
  linear.codes = separate(copy_tensor<uint32_t>(find_tensor(place, checkpoint, {"qweight"}), in, words));
  linear.group_of = contiguous_groups(in, linear.spec.group_width(in));
  const std::string odd = asymmetry(linear);
  linear.spec.symmetric = symmetry_of(quantization_config).value_or(odd.empty());
  if (linear.spec.symmetric && !odd.empty()) linear.spec.symmetric = false;  // AutoAWQ writes zero_point alone
  return linear;
}

}  // namespace hesse
