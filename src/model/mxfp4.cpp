#include "model/mxfp4.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "hesse/error.h"

namespace hesse {
namespace {

constexpr std::string_view kBlocks = "_blocks", kScales = "_scales";
constexpr int64_t kBlockBytes = kMxfp4Block / 2;
constexpr std::array<float, 16> kValues = {0,     0.5f,  1,     1.5f,  2,     3,     4,     6,
                                           -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

float scale_of(std::byte exponent) {
  const int bits = std::to_integer<int>(exponent);
  return bits == 255 ? std::numeric_limits<float>::quiet_NaN() : std::ldexp(1.0f, bits - 127);
}

const TensorView& codes_of(const Checkpoint& checkpoint, const std::string& name, const std::vector<int64_t>& shape) {
  const TensorView* view = checkpoint.find(name);
  const std::string place = checkpoint.directory().filename().string();
  if (view == nullptr) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[weights] {}: '{}' is not in the checkpoint; incomplete download?", place, name));
  }
  if (view->spec.dtype == DType::kU8 && view->spec.shape == shape) return *view;
  throw Error(ErrorKind::kBadInput,
              fmt::format("[weights] {}: '{}' is {} [{}]; config.json asks for U8 [{}]", place, name,
                          dtype_name(view->spec.dtype), fmt::join(view->spec.shape, ", "), fmt::join(shape, ", ")));
}

}  // namespace

bool is_mxfp4_config(const Json* quantization_config) {
  if (quantization_config == nullptr || !quantization_config->is_object()) return false;
  const Json* method = quantization_config->find_value("quant_method");
  return method != nullptr && method->is_string() && method->as_string("quant_method") == "mxfp4";
}

bool Mxfp4Rows::has(const Checkpoint& checkpoint, const std::string& name) {
  return checkpoint.find(name + std::string(kBlocks)) != nullptr;
}

Mxfp4Rows::Mxfp4Rows(const Checkpoint& checkpoint, const std::string& name, int64_t leading, int64_t rows, int64_t in)
    : in_(in) {
  if (in % kMxfp4Block != 0) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[weights] {}: '{}{}' has blocks of {} inputs, of which {} are no "
                            "multiple",
                            checkpoint.directory().filename().string(), name, kBlocks, kMxfp4Block, in));
  }
  const int64_t blocks = in / kMxfp4Block;
  blocks_ = &codes_of(checkpoint, name + std::string(kBlocks), {leading, rows / leading, blocks, kBlockBytes});
  scales_ = &codes_of(checkpoint, name + std::string(kScales), {leading, rows / leading, blocks});
}

void Mxfp4Rows::row(int64_t r, float* values) const {
  const int64_t blocks = in_ / kMxfp4Block;
  const std::byte* codes = blocks_->bytes.data() + r * blocks * kBlockBytes;
  const std::byte* scales = scales_->bytes.data() + r * blocks;
  for (int64_t block = 0; block < blocks; ++block) {
    const float scale = scale_of(scales[block]);
    for (int64_t i = 0; i < kBlockBytes; ++i) {
      const auto pair = std::to_integer<unsigned>(codes[block * kBlockBytes + i]);
      *values++ = kValues[pair & 15u] * scale;
      *values++ = kValues[pair >> 4] * scale;
    }
  }
}

}  // namespace hesse
