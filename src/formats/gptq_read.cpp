// Reading the tensors of one linear: nothing in the file is believed before it agrees with the rest.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "base/dtype.h"
#include "formats/gptq.h"
#include "formats/gptq_config.h"
#include "hesse/error.h"
#include "quant/pack.h"

namespace hesse {
namespace {

[[noreturn]] void refuse(std::string_view module, const std::string& what) {
  throw Error(ErrorKind::kBadInput, fmt::format("[gptq] {}: {}", module, what));
}

struct Stored {
  const TensorView& qweight;  // [in * bits / 32, out]
  const TensorView& qzeros;   // [groups, out * bits / 32]
  const TensorView& scales;   // [groups, out]
  const TensorView& g_idx;    // [in]

  int64_t out() const { return qweight.spec.shape[1]; }
  int64_t in() const { return g_idx.spec.shape[0]; }
  int64_t groups() const { return scales.spec.shape[0]; }
};

const TensorView& find_tensor(const Checkpoint& checkpoint, std::string_view module, std::string_view suffix,
                              size_t dimensions) {
  const TensorView* tensor = checkpoint.find(fmt::format("{}.{}", module, suffix));
  if (tensor == nullptr) refuse(module, fmt::format("there is no tensor '{}.{}'", module, suffix));
  const TensorSpec& spec = tensor->spec;
  const bool float_expected = suffix == "scales";
  if (float_expected ? !dtype_is_float16or32(spec.dtype) : spec.dtype != DType::kI32) {
    refuse(module, fmt::format("{} is {}, must be {}", suffix, dtype_name(spec.dtype),
                               float_expected ? "F16, BF16 or F32" : "I32"));
  }
  if (spec.shape.size() != dimensions) {
    refuse(module, fmt::format("{} has {} dimensions, must have {}", suffix, spec.shape.size(), dimensions));
  }
  if (spec.elements() == 0) refuse(module, fmt::format("{} [{}] is empty", suffix, fmt::join(spec.shape, ", ")));
  return *tensor;
}

// The bytes of a mapped file need not be aligned.
template <class T>
Matrix<T> copy_tensor(const TensorView& tensor, int64_t rows, int64_t cols) {
  Matrix<T> copy(rows, cols);
  std::memcpy(copy.data(), tensor.bytes.data(), tensor.bytes.size());
  return copy;
}

// With per-module overrides the configuration is only the rule; the shapes say what this linear has.
int bits_of(std::string_view module, const Stored& stored, const GptqSettings& settings) {
  const int64_t rows = stored.qweight.spec.shape[0];
  const int64_t packed_bits = checked_mul(rows, 32, "qweight rows x 32");
  if (settings.overrides) {
    for (const int bits : {2, 3, 4, 8}) {
      if (checked_mul(stored.in(), bits, "in x bits") == packed_bits) return bits;
    }
    refuse(module, fmt::format("qweight has {} rows, which for in = {} (g_idx) is no width of 2, 3, 4 or 8 bits", rows,
                               stored.in()));
  }
  const int64_t code_bits = checked_mul(stored.in(), settings.bits, "in x bits");
  if (code_bits != packed_bits) {
    refuse(module, fmt::format("qweight has {} rows of 32 bits, in = {} (g_idx) with {} bits needs {}", rows,
                               stored.in(), settings.bits, static_cast<double>(code_bits) / 32));
  }
  return settings.bits;
}

void check_grid_shapes(std::string_view module, const Stored& stored, int bits) {
  const auto check = [&](std::string_view name, const TensorView& tensor, int64_t rows, int64_t cols) {
    const std::vector<int64_t>& shape = tensor.spec.shape;
    if (shape[0] == rows && shape[1] == cols) return;
    refuse(module, fmt::format("{} is [{}, {}], must be [{}, {}]", name, shape[0], shape[1], rows, cols));
  };
  const int64_t zero_bits = checked_mul(stored.out(), bits, "out x bits");
  if (zero_bits % 32 != 0) {
    refuse(module, fmt::format("out = {} zero points of {} bits do not fill whole words", stored.out(), bits));
  }
  check("scales", stored.scales, stored.groups(), stored.out());
  check("qzeros", stored.qzeros, stored.groups(), zero_bits / 32);
}

std::vector<int32_t> read_groups(std::string_view module, const Stored& stored) {
  std::vector<int32_t> group_of(static_cast<size_t>(stored.in()));
  std::memcpy(group_of.data(), stored.g_idx.bytes.data(), stored.g_idx.bytes.size());
  if (const std::string problem = group_map_problem(group_of, stored.groups()); !problem.empty()) {
    refuse(module, problem);
  }
  return group_of;
}

int64_t group_size_of(std::string_view module, const Stored& stored, const GptqSettings& settings,
                      const std::vector<int32_t>& group_of) {
  const auto groups_at = [&](int64_t size) { return LinearSpec{.group_size = size}.groups(stored.in()); };
  if (settings.overrides) {
    // Every group but the last is full, so the first one shows the width.
    const int64_t width = std::count(group_of.begin(), group_of.end(), 0);
    const bool as_configured = settings.group_size == -1 ? stored.groups() == 1 : width == settings.group_size;
    const int64_t size = as_configured ? settings.group_size : (stored.groups() == 1) ? -1 : width;
    if (groups_at(size) == stored.groups()) return size;
    refuse(module, fmt::format("scales have {} groups, in = {} with {} inputs in the first group makes {}",
                               stored.groups(), stored.in(), width, groups_at(width)));
  }
  if (settings.group_size > stored.in()) {
    refuse(module, fmt::format("group_size = {} is larger than in = {}", settings.group_size, stored.in()));
  }
  if (groups_at(settings.group_size) != stored.groups()) {
    refuse(module, fmt::format("scales have {} groups, in = {} with group_size {} has {}", stored.groups(), stored.in(),
                               settings.group_size, groups_at(settings.group_size)));
  }
  return settings.group_size;
}

Matrix<float> read_scales(std::string_view module, const Stored& stored) {
  Matrix<float> scales(stored.groups(), stored.out());
  if (stored.scales.spec.dtype == DType::kF32) {
    scales = copy_tensor<float>(stored.scales, stored.groups(), stored.out());
  } else {
    const bool half = stored.scales.spec.dtype == DType::kF16;
    const Matrix<uint16_t> raw = copy_tensor<uint16_t>(stored.scales, stored.groups(), stored.out());
    for (int64_t i = 0; i < raw.size(); ++i) {
      scales.data()[i] = half ? f16_to_float(raw.data()[i]) : bf16_to_float(raw.data()[i]);
    }
  }
  for (int64_t i = 0; i < scales.size(); ++i) {
    if (std::isfinite(scales.data()[i])) continue;
    refuse(module, fmt::format("the scale of group {}, output {} is {}; damaged file, or the model overflowed when it "
                               "was quantized",
                               i / stored.out(), i % stored.out(), scales.data()[i]));
  }
  return scales;
}

// Stored + offset without wrapping, as vLLM and ExLlamaV2 compute it: the field 15 of version 1 is the zero point 16.
Matrix<uint8_t> read_zeros(std::string_view module, const Stored& stored, int bits, int offset) {
  const int64_t words = stored.qzeros.spec.shape[1];
  const Matrix<uint32_t> packed = copy_tensor<uint32_t>(stored.qzeros, stored.groups(), words);
  Matrix<uint8_t> zeros(stored.groups(), stored.out());
  unpack_cols(packed.view(), bits, zeros.view());
  for (int64_t i = 0; i < zeros.size(); ++i) {
    const int zero = zeros.data()[i] + offset;
    if (zero > 255) {
      refuse(module, fmt::format("the zero point of group {}, output {} is {}, the largest is 255; programs disagree "
                                 "on this value",
                                 i / stored.out(), i % stored.out(), zero));
    }
    zeros.data()[i] = static_cast<uint8_t>(zero);
  }
  return zeros;
}

// Engines with kernels for symmetric files never look at the zero points, others do. Where they are not what
// "symmetric" promises, the model is another one in every engine, most often because the version in the configuration
// is wrong.
bool read_symmetry(std::string_view module, const QuantizedLinear& linear, const GptqSettings& settings) {
  const int middle = linear.spec.symmetric_zero();
  const uint8_t* begin = linear.zeros.data();
  const uint8_t* end = begin + linear.zeros.size();
  const uint8_t* odd = std::find_if(begin, end, [&](uint8_t zero) { return zero != middle; });
  if (!settings.symmetric.has_value() || settings.overrides) return odd == end && settings.symmetric.value_or(true);
  if (*settings.symmetric && odd != end) {
    refuse(module, fmt::format("the configuration says sym, but the zero point of group {}, output {} is {} instead of "
                               "{}; is checkpoint_format right?",
                               (odd - begin) / linear.out(), (odd - begin) % linear.out(), *odd, middle));
  }
  return *settings.symmetric;
}

}  // namespace

LinearSize GptqFormat::size(const Checkpoint& checkpoint, std::string_view module) const {
  return {.out = find_tensor(checkpoint, module, "qweight", 2).spec.shape[1],
          .in = find_tensor(checkpoint, module, "g_idx", 1).spec.shape[0]};
}

QuantizedLinear GptqFormat::read(const Checkpoint& checkpoint, std::string_view module,
                                 const Json& quantization_config) const {
  const GptqSettings settings = gptq_settings(quantization_config);
  const Stored stored{.qweight = find_tensor(checkpoint, module, "qweight", 2),
                      .qzeros = find_tensor(checkpoint, module, "qzeros", 2),
                      .scales = find_tensor(checkpoint, module, "scales", 2),
                      .g_idx = find_tensor(checkpoint, module, "g_idx", 1)};
  QuantizedLinear linear;
  linear.spec.bits = bits_of(module, stored, settings);
  check_grid_shapes(module, stored, linear.spec.bits);
  linear.group_of = read_groups(module, stored);
  linear.spec.group_size = group_size_of(module, stored, settings, linear.group_of);
  linear.scales = read_scales(module, stored);
  linear.zeros = read_zeros(module, stored, linear.spec.bits, version_.zero_offset);

  const Matrix<uint32_t> words = copy_tensor<uint32_t>(stored.qweight, stored.qweight.spec.shape[0], stored.out());
  linear.codes = Matrix<uint8_t>(stored.out(), stored.in());
  unpack_cols_transposed(words.view(), linear.spec.bits, linear.codes.view());
  linear.spec.symmetric = read_symmetry(module, linear, settings);
  return linear;
}

}  // namespace hesse
