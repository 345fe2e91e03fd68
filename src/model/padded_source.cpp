#include "model/padded_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/checked.h"
#include "base/dtype.h"
#include "hesse/error.h"
#include "model/linear.h"
#include "model/mlp.h"

namespace hesse {
namespace {

// `from` as [outer, parts, narrow, inner] bytes into [outer, parts, wide, inner], which is zero.
struct Blocks {
  int64_t outer = 1, parts = 1, narrow = 0, wide = 0, inner = 1;
};
void spread(const std::byte* from, const Blocks& b, std::byte* to) {
  for (int64_t block = 0; block < b.outer * b.parts; ++block)
    std::memcpy(to + block * b.wide * b.inner, from + block * b.narrow * b.inner,
                static_cast<size_t>(b.narrow * b.inner));
}

std::vector<std::byte> spread_tensor(std::span<const std::byte> from, const PaddedSide& side, const Blocks& blocks) {
  std::vector<std::byte> to(from.size() / static_cast<size_t>(side.narrow) * static_cast<size_t>(side.wide));
  spread(from.data(), blocks, to.data());
  return to;
}

Blocks blocks_of(const PaddedSide& side, int64_t rows, int64_t cols, int64_t element) {
  if (side.dimension == 0) return {1, side.parts, side.narrow, side.wide, cols * element};
  return {rows, side.parts, side.narrow, side.wide, element};
}

}  // namespace

PaddedSource::PaddedSource(const Checkpoint& checkpoint, const ModelConfig& config, int64_t wide)
    : CheckpointSource(checkpoint, config) {
  const bool in_out = layout_of_linears(config) == WeightLayout::kInOut;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const LinearShape& linear : mlp_inputs(config, layer)) {
      const PaddedSide side{in_out ? 1 : 0, linear.out / config.intermediate, config.intermediate, wide};
      sides_.emplace(linear.name + ".weight", side);
      sides_.emplace(linear.name + ".bias", PaddedSide{0, side.parts, side.narrow, side.wide});
    }
    sides_.emplace(mlp_output(config, layer).name + ".weight",
                   PaddedSide{in_out ? 0 : 1, 1, config.intermediate, wide});
  }
}

const PaddedSide* PaddedSource::side_of(std::string_view tensor) const {
  const auto found = sides_.find(tensor);
  return found == sides_.end() ? nullptr : &found->second;
}

// Where the file is not as config.json says, the narrow shape is told, and the comparison with the config names it.
WeightSource::Shape PaddedSource::linear_shape(std::string_view module, WeightLayout layout) const {
  Shape shape = CheckpointSource::linear_shape(module, layout);
  const PaddedSide* side = side_of(fmt::format("{}.weight", module));
  if (side == nullptr) return shape;
  const bool outputs = (side->dimension == 0) == (layout == WeightLayout::kOutIn);
  int64_t& size = outputs ? shape.out : shape.in;
  if (size == side->parts * side->narrow) size = side->parts * side->wide;
  return shape;
}

ComputeMatrix PaddedSource::linear_as(ComputeType type, std::string_view module, WeightLayout layout) const {
  // The other layout is read as this one, through here again, and turned.
  ComputeMatrix narrow = CheckpointSource::linear_as(type, module, layout);
  const PaddedSide* side = side_of(fmt::format("{}.weight", module));
  if (side == nullptr || layout == WeightLayout::kInOut) return narrow;
  const auto [out, in] = linear_shape(module, layout);
  const int64_t element = type == ComputeType::kF32 ? 4 : 2;
  ComputeMatrix wide(type, out, in);
  std::memset(wide.view().data, 0, static_cast<size_t>(out * in * element));
  spread(static_cast<const std::byte*>(std::as_const(narrow).view().data),
         blocks_of(*side, narrow.rows(), narrow.cols(), element), static_cast<std::byte*>(wide.view().data));
  return wide;
}

std::vector<float> PaddedSource::vector(std::string_view name, int64_t size) const {
  const PaddedSide* side = side_of(name);
  if (side == nullptr || size % side->wide != 0) return CheckpointSource::vector(name, size);
  const std::vector<float> narrow = CheckpointSource::vector(name, size / side->wide * side->narrow);
  std::vector<float> wide(static_cast<size_t>(size), 0.0f);
  spread(reinterpret_cast<const std::byte*>(narrow.data()), blocks_of(*side, size, 1, sizeof(float)),
         reinterpret_cast<std::byte*>(wide.data()));
  return wide;
}

std::vector<PlainTensor> PaddedSource::plain_tensors(ExpertsForm form) const {
  std::vector<PlainTensor> plain = CheckpointSource::plain_tensors(form);
  for (PlainTensor& tensor : plain) {
    if (side_of(tensor.spec.name) != nullptr) tensor.spec.shape = spec(*tensor.in_file).shape;
  }
  return plain;
}

PlainBytes PaddedSource::plain_bytes(const PlainTensor& tensor) const {
  const bool as_it_is = tensor.in_file->spec.dtype == tensor.spec.dtype;
  if (!as_it_is || side_of(tensor.spec.name) == nullptr) return CheckpointSource::plain_bytes(tensor);
  PlainBytes wide;
  wide.own = bytes(*tensor.in_file);
  wide.view = wide.own;
  return wide;
}

TensorSpec PaddedSource::spec(const TensorView& tensor) const {
  TensorSpec spec = tensor.spec;
  if (const PaddedSide* side = side_of(spec.name)) {
    int64_t& size = spec.shape.at(static_cast<size_t>(side->dimension));
    size = size / side->narrow * side->wide;
  }
  return spec;
}

std::vector<std::byte> PaddedSource::bytes(const TensorView& tensor) const {
  const PaddedSide* side = side_of(tensor.spec.name);
  if (side == nullptr) return {tensor.bytes.begin(), tensor.bytes.end()};
  const auto& shape = tensor.spec.shape;
  const int64_t cols = shape.size() > 1 ? shape[1] : 1;
  return spread_tensor(tensor.bytes, *side, blocks_of(*side, shape[0], cols, dtype_size(tensor.spec.dtype)));
}

int64_t padded_width(int64_t narrow, int64_t group_size) {
  constexpr int64_t kWholeRows = 128, kAtMost = 20;
  const int64_t group = group_size > 0 ? group_size : kWholeRows;
  for (const int64_t devices : {8, 4, 2}) {
    const int64_t step = devices * group, wide = ceil_div(narrow, step) * step;
    if ((wide - narrow) * kAtMost <= narrow) return wide;
  }
  return ceil_div(narrow, group) * group;
}

Json with_intermediate(const Json& config_json, const ModelConfig& config, int64_t wide) {
  const Key& key = config.family->intermediate_key;
  if (key.name.empty()) {
    throw Error(ErrorKind::kUsage,
                fmt::format("[padding] config.json of '{}' has no key for the width of its MLPs, which "
                            "is always {} times the hidden size",
                            config.family->name, config.family->intermediate_factor));
  }
  Json changed = config_json;
  const Json* text = config_json.find_value("text_config");
  Json inner = text != nullptr ? *text : config_json;
  const bool older =
      !key.older.empty() && inner.find_value(key.name) == nullptr && inner.find_value(key.older) != nullptr;
  inner.set(older ? key.older : key.name, wide);
  if (text == nullptr) return inner;
  changed.set("text_config", std::move(inner));
  return changed;
}

}  // namespace hesse
