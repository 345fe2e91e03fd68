// Reading the tensors of one linear: nothing in the file is believed before it agrees with the rest.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/checked.h"
#include "formats/gptq.h"
#include "formats/gptq_config.h"
#include "formats/packed.h"
#include "hesse/error.h"
#include "quant/pack.h"

namespace hesse {
namespace {

struct Parts {
  const TensorView& qweight;  // [in * bits / 32, out]
  const TensorView& qzeros;   // [groups, out * bits / 32]
  const TensorView& scales;   // [groups, out]
  const TensorView& g_idx;    // [in]

  int64_t out() const { return qweight.spec.shape[1]; }
  int64_t in() const { return g_idx.spec.shape[0]; }
  int64_t groups() const { return scales.spec.shape[0]; }
};

Place at(std::string_view module) { return {"gptq", module}; }

// With per-module overrides the configuration is only the rule; the shapes say what this linear has.
int bits_of(std::string_view module, const Parts& stored, const GptqSettings& settings) {
  const int64_t rows = stored.qweight.spec.shape[0];
  const int64_t packed_bits = checked_mul(rows, 32, "qweight rows x 32");
  if (settings.overrides) {
    for (const int bits : {2, 3, 4, 8}) {
      if (checked_mul(stored.in(), bits, "in x bits") == packed_bits) return bits;
    }
    refuse(at(module), fmt::format("qweight has {} rows, which for in = {} (g_idx) is no width of 2, 3, 4 or 8 bits",
                                   rows, stored.in()));
  }
  const int64_t code_bits = checked_mul(stored.in(), settings.bits, "in x bits");
  if (code_bits != packed_bits) {
    refuse(at(module), fmt::format("qweight has {} rows of 32 bits, in = {} (g_idx) with {} bits needs {}", rows,
                                   stored.in(), settings.bits, static_cast<double>(code_bits) / 32));
  }
  return settings.bits;
}

void check_grid_shapes(std::string_view module, const Parts& stored, int bits) {
  const int64_t zero_bits = checked_mul(stored.out(), bits, "out x bits");
  if (zero_bits % 32 != 0) {
    refuse(at(module), fmt::format("out = {} zero points of {} bits do not fill whole words", stored.out(), bits));
  }
  check_shape(at(module), stored.scales, "scales", {stored.groups(), stored.out()});
  check_shape(at(module), stored.qzeros, "qzeros", {stored.groups(), zero_bits / 32});
}

int64_t group_size_of(std::string_view module, const Parts& stored, const GptqSettings& settings,
                      const std::vector<int32_t>& group_of) {
  const auto groups_at = [&](int64_t size) { return LinearSpec{.group_size = size}.groups(stored.in()); };
  if (settings.overrides) {
    // Every group but the last is full, so the first one shows the width.
    const int64_t width = std::count(group_of.begin(), group_of.end(), 0);
    const bool as_configured = settings.group_size == -1 ? stored.groups() == 1 : width == settings.group_size;
    const int64_t size = as_configured ? settings.group_size : (stored.groups() == 1) ? -1 : width;
    if (groups_at(size) == stored.groups()) return size;
    refuse(at(module), fmt::format("scales have {} groups, in = {} with {} inputs in the first group makes {}",
                                   stored.groups(), stored.in(), width, groups_at(width)));
  }
  if (settings.group_size > stored.in()) {
    refuse(at(module), fmt::format("group_size = {} is larger than in = {}", settings.group_size, stored.in()));
  }
  if (groups_at(settings.group_size) != stored.groups()) {
    refuse(at(module), fmt::format("scales have {} groups, in = {} with group_size {} has {}", stored.groups(),
                                   stored.in(), settings.group_size, groups_at(settings.group_size)));
  }
  return settings.group_size;
}

// Stored + offset without wrapping, as vLLM and ExLlamaV2 compute it: the field 15 of version 1 is the zero point 16.
Matrix<uint8_t> read_zeros(std::string_view module, const Parts& stored, int bits, int offset) {
  const int64_t words = stored.qzeros.spec.shape[1];
  const Matrix<uint32_t> packed = copy_tensor<uint32_t>(stored.qzeros, stored.groups(), words);
  Matrix<uint8_t> zeros(stored.groups(), stored.out());
  unpack_cols(packed.view(), bits, zeros.view());
  for (int64_t i = 0; i < zeros.size(); ++i) {
    const int zero = zeros.data()[i] + offset;
    if (zero > 255) {
      refuse(at(module),
             fmt::format("the zero point of group {}, output {} is {}, the largest is 255; programs disagree "
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
  const std::string odd = asymmetry(linear);
  if (!settings.symmetric.has_value() || settings.overrides) return odd.empty() && settings.symmetric.value_or(true);
  if (*settings.symmetric && !odd.empty()) {
    refuse(at(module), fmt::format("the configuration says sym, but {}; is checkpoint_format right?", odd));
  }
  return *settings.symmetric;
}

}  // namespace

LinearSize GptqFormat::size(const Checkpoint& checkpoint, std::string_view module) const {
  return {.out = find_tensor(at(module), checkpoint, {"qweight"}).spec.shape[1],
          .in = find_tensor(at(module), checkpoint, {"g_idx", Stored::kWords, 1}).spec.shape[0]};
}

QuantizedLinear GptqFormat::read(const Checkpoint& checkpoint, std::string_view module,
                                 const Json& quantization_config) const {
  const GptqSettings settings = gptq_settings(quantization_config);
  const Parts stored{.qweight = find_tensor(at(module), checkpoint, {"qweight"}),
                     .qzeros = find_tensor(at(module), checkpoint, {"qzeros"}),
                     .scales = find_tensor(at(module), checkpoint, {"scales", Stored::kScales}),
                     .g_idx = find_tensor(at(module), checkpoint, {"g_idx", Stored::kWords, 1})};
  QuantizedLinear linear;
  linear.spec.bits = bits_of(module, stored, settings);
  check_grid_shapes(module, stored, linear.spec.bits);
  linear.group_of = copy_group_map(at(module), stored.g_idx, stored.groups());
  linear.spec.group_size = group_size_of(module, stored, settings, linear.group_of);
  linear.scales = copy_scales(stored.scales);
  require_finite(at(module), linear.scales);
  linear.zeros = read_zeros(module, stored, linear.spec.bits, version_.zero_offset);

  const Matrix<uint32_t> words = copy_tensor<uint32_t>(stored.qweight, stored.qweight.spec.shape[0], stored.out());
  linear.codes = Matrix<uint8_t>(stored.out(), stored.in());
  unpack_cols_transposed(words.view(), linear.spec.bits, linear.codes.view());
  linear.spec.symmetric = read_symmetry(module, linear, settings);
  return linear;
}

}  // namespace hesse
