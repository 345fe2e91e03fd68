// Reading files of compressed-tensors, our own and those of llm-compressor.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "formats/compressed_tensors.h"
#include "formats/packed.h"
#include "hesse/error.h"
#include "quant/pack.h"

namespace hesse {
namespace {

constexpr std::string_view kName = "compressed-tensors";

[[noreturn]] void refuse_config(const std::string& what) {
  throw Error(ErrorKind::kBadInput, fmt::format("[{}] quantization_config: {}", kName, what));
}

const Json& member(const Json& object, const std::string& where, const char* key) {
  const Json* value = object.find_value(key);
  if (value == nullptr) refuse_config(fmt::format("'{}' is missing in {}", key, where));
  return *value;
}

std::string text_of(const Json& object, const std::string& where, const char* key) {
  return member(object, where, key).as_string(fmt::format("{}.{}", where, key));
}

// "int" when it is silent, as the schema has it.
void require_int_weights(const Json& weights, const std::string& where) {
  const Json* type = weights.find_value("type");
  if (type != nullptr && type->as_string(where + ".type") != "int")
    refuse_config(fmt::format("{}.type is {}, only \"int\" can be read", where, type->dump()));
}

int64_t group_size_of(const Json& weights, const std::string& where) {
  const std::string strategy = text_of(weights, where, "strategy");
  if (strategy == "channel") return -1;
  if (strategy != "group")
    refuse_config(fmt::format("{}.strategy is \"{}\", only \"group\" and \"channel\" can be read", where, strategy));
  const int64_t size = member(weights, where, "group_size").as_int(where + ".group_size");
  if (size < 1) refuse_config(fmt::format("{}.group_size is {}, must be positive", where, size));
  return size;
}

CompressedScheme scheme_of(const Json& group, const std::string& name) {
  const std::string where = name + ".weights";
  if (group.find_value("input_activations") != nullptr)
    refuse_config(fmt::format("{} quantizes activations too; only weights can be read", name));
  const Json& weights = member(group, name, "weights");
  weights.as_object(where);
  require_int_weights(weights, where);
  const int64_t bits = member(weights, where, "num_bits").as_int(where + ".num_bits");
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
    refuse_config(fmt::format("{}.num_bits is {}, known are 2, 3, 4 and 8", where, bits));
  const Json* symmetric = weights.find_value("symmetric");
  return {.bits = static_cast<int>(bits),
          .group_size = group_size_of(weights, where),
          .symmetric = symmetric == nullptr || symmetric->as_bool(where + ".symmetric")};
}

struct Parts {
  Place place;
  const TensorView& packed;  // [out, ceil(in * bits / 32)]
  const TensorView& scales;  // [out, groups]
  const TensorView* zeros;   // [ceil(out * bits / 32), groups]; nullptr: symmetric
  LinearSize size;
};

LinearSize read_size(const Place& place, const Checkpoint& checkpoint) {
  const TensorView& tensor = find_tensor(place, checkpoint, {"weight_shape", Stored::kShape, 1});
  check_shape(place, tensor, "weight_shape", {2});
  int64_t shape[2] = {0, 0};
  if (tensor.spec.dtype == DType::kI64) {
    std::memcpy(shape, tensor.bytes.data(), sizeof shape);
  } else {
    int32_t narrow[2];
    std::memcpy(narrow, tensor.bytes.data(), sizeof narrow);
    std::copy(narrow, narrow + 2, shape);
  }
  if (shape[0] < 1 || shape[1] < 1) refuse(place, fmt::format("weight_shape is ({}, {})", shape[0], shape[1]));
  return {.out = shape[0], .in = shape[1]};
}

int64_t words_for(int64_t count, int bits) { return ceil_div(checked_mul(count, bits, "codes x bits"), 32); }

// The scheme of the configuration that this linear's shapes belong to.
LinearSpec spec_of(const Parts& parts, const std::vector<CompressedScheme>& schemes) {
  const int64_t words = parts.packed.spec.shape[1], groups = parts.scales.spec.shape[1];
  for (const CompressedScheme& scheme : schemes) {
    const LinearSpec spec{.bits = scheme.bits, .group_size = scheme.group_size, .symmetric = scheme.symmetric};
    const bool fits = words_for(parts.size.in, spec.bits) == words && spec.group_size <= parts.size.in &&
                      spec.groups(parts.size.in) == groups && spec.symmetric == (parts.zeros == nullptr);
    if (fits) return spec;
  }
  std::vector<std::string> known;
  for (const CompressedScheme& scheme : schemes) {
    known.push_back(fmt::format("{} bits, group size {}, {}", scheme.bits, scheme.group_size,
                                scheme.symmetric ? "symmetric" : "asymmetric"));
  }
  refuse(parts.place,
         fmt::format("weight_packed has {} words a row, weight_scale {} groups, zero points {}; for {} inputs that is "
                     "none of: {}",
                     words, groups, parts.zeros == nullptr ? "are absent" : "are there", parts.size.in,
                     fmt::join(known, "; ")));
}

// `count` codes a row from words whose last one may be filled in part.
Matrix<uint8_t> unpack_rows_of(const Matrix<uint32_t>& words, int bits, int64_t count) {
  const int64_t whole = ceil_div(words.cols(), bits == 3 ? 3 : 1) * (bits == 3 ? 3 : 1);
  Matrix<uint32_t> padded = Matrix<uint32_t>::zeros(words.rows(), whole);
  for (int64_t r = 0; r < words.rows(); ++r) std::copy_n(words.row(r), words.cols(), padded.row(r));
  Matrix<uint8_t> all(words.rows(), whole * 32 / bits);
  unpack_cols(padded.view(), bits, all.view());
  if (all.cols() == count) return all;
  Matrix<uint8_t> codes(words.rows(), count);
  for (int64_t r = 0; r < words.rows(); ++r) std::copy_n(all.row(r), count, codes.row(r));
  return codes;
}

template <class T>
Matrix<T> transposed_of(const Matrix<T>& matrix) {
  Matrix<T> result(matrix.cols(), matrix.rows());
  for (int64_t r = 0; r < matrix.rows(); ++r) {
    for (int64_t c = 0; c < matrix.cols(); ++c) result(c, r) = matrix(r, c);
  }
  return result;
}

Matrix<uint8_t> read_zeros(const Parts& parts, const LinearSpec& spec, int64_t groups) {
  if (parts.zeros == nullptr) {
    Matrix<uint8_t> zeros(groups, parts.size.out);
    std::fill_n(zeros.data(), zeros.size(), static_cast<uint8_t>(spec.symmetric_zero()));
    return zeros;
  }
  const int64_t words = words_for(parts.size.out, spec.bits);
  check_shape(parts.place, *parts.zeros, "weight_zero_point", {words, groups});
  return unpack_rows_of(transposed_of(copy_tensor<uint32_t>(*parts.zeros, words, groups)), spec.bits, parts.size.out);
}

std::vector<int32_t> read_groups(const Parts& parts, const Checkpoint& checkpoint, const LinearSpec& spec) {
  const int64_t in = parts.size.in;
  if (checkpoint.find(std::string(parts.place.module) + ".weight_g_idx") == nullptr) {
    if (in % spec.group_width(in) != 0)
      refuse(parts.place, fmt::format("in = {} is not a multiple of group_size = {}", in, spec.group_width(in)));
    return contiguous_groups(in, spec.group_width(in));
  }
  const TensorView& tensor = find_tensor(parts.place, checkpoint, {"weight_g_idx", Stored::kWords, 1});
  check_shape(parts.place, tensor, "weight_g_idx", {in});
  return copy_group_map(parts.place, tensor, spec.groups(in));
}

Parts find_parts(const Checkpoint& checkpoint, std::string_view module) {
  const Place place{kName, module};
  const bool zeros = checkpoint.find(std::string(module) + ".weight_zero_point") != nullptr;
  Parts parts{.place = place,
              .packed = find_tensor(place, checkpoint, {"weight_packed"}),
              .scales = find_tensor(place, checkpoint, {"weight_scale", Stored::kScales}),
              .zeros = zeros ? &find_tensor(place, checkpoint, {"weight_zero_point"}) : nullptr,
              .size = read_size(place, checkpoint)};
  check_shape(place, parts.packed, "weight_packed", {parts.size.out, parts.packed.spec.shape[1]});
  // Every code has a bit, so that no product below leaves what an integer holds.
  if (parts.size.in / 32 > parts.packed.spec.shape[1]) {
    refuse(place, fmt::format("weight_shape says {} inputs, weight_packed has {} words a row", parts.size.in,
                              parts.packed.spec.shape[1]));
  }
  check_shape(place, parts.scales, "weight_scale", {parts.size.out, parts.scales.spec.shape[1]});
  return parts;
}

}  // namespace

std::vector<CompressedScheme> compressed_schemes(const Json& quantization_config) {
  for (const char* key : {"transform_config", "sparsity_config"}) {
    const Json* value = quantization_config.find_value(key);
    if (value != nullptr && !value->as_object(std::string("quantization_config.") + key).empty())
      refuse_config(fmt::format("{} is not empty; weights that are turned or sparse cannot be read", key));
  }
  const Json& groups = member(quantization_config, "it", "config_groups");
  std::vector<CompressedScheme> schemes;
  for (const auto& [name, group] : groups.as_object("quantization_config.config_groups"))
    schemes.push_back(scheme_of(group, name));
  if (schemes.empty()) refuse_config("config_groups is empty");
  return schemes;
}

bool CompressedTensorsFormat::recognises(const Json& quantization_config) const {
  const Json* method = quantization_config.find_value("quant_method");
  if (method == nullptr || method->as_string("quantization_config.quant_method") != kName) return false;
  const Json* format = quantization_config.find_value("format");
  if (format == nullptr || format->as_string("quantization_config.format") != "pack-quantized") {
    refuse_config(fmt::format("format is {}, only \"pack-quantized\" can be read",
                              format == nullptr ? "missing" : format->dump()));
  }
  return true;
}

// Patterns ("re:") say it of no module by name.
std::vector<std::string> CompressedTensorsFormat::listed_as_plain(const Json& quantization_config) const {
  std::vector<std::string> modules;
  const Json* ignored = quantization_config.find_value("ignore");
  if (ignored == nullptr) return modules;
  for (const Json& entry : ignored->as_array("quantization_config.ignore")) {
    const std::string& name = entry.as_string("quantization_config.ignore");
    if (!name.starts_with("re:")) modules.push_back(name);
  }
  return modules;
}

LinearSize CompressedTensorsFormat::size(const Checkpoint& checkpoint, std::string_view module) const {
  return find_parts(checkpoint, module).size;
}

QuantizedLinear CompressedTensorsFormat::read(const Checkpoint& checkpoint, std::string_view module,
                                              const Json& quantization_config) const {
  const Parts parts = find_parts(checkpoint, module);
  QuantizedLinear linear;
  linear.spec = spec_of(parts, compressed_schemes(quantization_config));
  linear.group_of = read_groups(parts, checkpoint, linear.spec);
  linear.scales = transposed_of(copy_scales(parts.scales));
  require_finite(parts.place, linear.scales);
  linear.zeros = read_zeros(parts, linear.spec, linear.scales.rows());
  const int64_t words = parts.packed.spec.shape[1];
  linear.codes =
      unpack_rows_of(copy_tensor<uint32_t>(parts.packed, parts.size.out, words), linear.spec.bits, parts.size.in);
  return linear;
}

}  // namespace hesse
