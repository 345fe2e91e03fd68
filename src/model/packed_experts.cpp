#include "model/packed_experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hesse/error.h"
#include "model/config.h"
#include "model/moe.h"
#include "model/source.h"

namespace hesse {
namespace {

constexpr std::string_view kBias = "_bias";

// Whether the plain tensor is [experts, in, out].
bool is_in_out(const Checkpoint& checkpoint, const ExpertsTensor& tensor) {
  const auto& shape = tensor.plain->spec.shape;
  const std::vector<int64_t> in_out = {tensor.experts, tensor.in, tensor.out};
  const std::vector<int64_t> out_in = {tensor.experts, tensor.out, tensor.in};
  if (dtype_is_float16or32(tensor.plain->spec.dtype)) {
    if (shape == in_out) return true;
    if (shape == out_in) return false;
  }
  throw Error(ErrorKind::kBadInput,
              fmt::format("[weights] {}: '{}' is {} [{}]; config.json asks for F16, BF16 or F32 [{}] or [{}]",
                          checkpoint.directory().filename().string(), tensor.name, dtype_name(tensor.plain->spec.dtype),
                          fmt::join(shape, ", "), fmt::join(in_out, ", "), fmt::join(out_in, ", ")));
}

const TensorView* find_biases(const Checkpoint& checkpoint, const ExpertsTensor& tensor) {
  const TensorView* view = checkpoint.find(tensor.name + std::string(kBias));
  const std::vector<int64_t> wanted = {tensor.experts, tensor.out};
  if (view == nullptr || (dtype_is_float16or32(view->spec.dtype) && view->spec.shape == wanted)) return view;
  throw Error(ErrorKind::kBadInput,
              fmt::format("[weights] {}: '{}' is {} [{}]; config.json asks for F16, BF16 or F32 [{}]",
                          checkpoint.directory().filename().string(), view->spec.name, dtype_name(view->spec.dtype),
                          fmt::join(view->spec.shape, ", "), fmt::join(wanted, ", ")));
}

}  // namespace

TensorSpec ExpertsTensor::spec() const {
  if (plain != nullptr) return plain->spec;
  return {name, DType::kBF16, {experts, in, out}};
}

int64_t ExpertsTensor::index(int64_t e, int64_t o, int64_t i) const {
  return e * out * in + (in_out ? i * out + o : o * in + i);
}

void ExpertsTensor::read(int64_t e, int64_t first, int64_t count, float* values) const {
  if (mxfp4 != nullptr) {
    for (int64_t r = 0; r < count; ++r) mxfp4->row(e * out + first + r, values + r * in);
  } else if (!in_out) {
    convert_to_float(*plain, index(e, first, 0), count * in, values);
  } else {
    std::vector<float> outputs(static_cast<size_t>(count));
    for (int64_t i = 0; i < in; ++i) {
      convert_to_float(*plain, index(e, first, i), count, outputs.data());
      for (int64_t r = 0; r < count; ++r) values[r * in + i] = outputs[static_cast<size_t>(r)];
    }
  }
}

TensorSpec ExpertPart::spec(std::string_view name) const {
  if (bias) return {std::string(name), of->biases->spec.dtype, {out}};
  return {std::string(name), of->spec().dtype, {out, of->in}};
}

void ExpertPart::read(int64_t from, int64_t count, float* values) const {
  if (!bias) return of->read(expert, first + from, count, values);
  convert_to_float(*of->biases, expert * of->out + first + from, count, values);
}

PackedExperts::PackedExperts(const Checkpoint& checkpoint, const ModelConfig& config) {
  const PackedExpertsRule& rule = config.family->experts.packed;
  if (rule.gate_up.empty()) return;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    if (config.experts.in_layer(layer)) add_layer(checkpoint, config, layer);
  }
}

void PackedExperts::add_layer(const Checkpoint& checkpoint, const ModelConfig& config, int64_t layer) {
  const PackedExpertsRule& rule = config.family->experts.packed;
  const auto tensor = [&](std::string_view name, int64_t out, int64_t in) {
    ExpertsTensor one;
    one.name = config.in_layer(layer, name);
    one.experts = config.experts.count;
    one.out = out;
    one.in = in;
    return one;
  };
  const int64_t width = config.experts.width, hidden = config.hidden;
  const bool biases = config.experts.biases;
  ExpertsTensor* gate_up = add_tensor(checkpoint, tensor(rule.gate_up, 2 * width, hidden), biases);
  ExpertsTensor* down = add_tensor(checkpoint, tensor(rule.down, hidden, width), biases);
  if (gate_up == nullptr || down == nullptr) return;
  // Of matrices as high as wide the shape does not tell how they lie; those of the other tensor are not such.
  if (gate_up->in == gate_up->out && down->plain != nullptr) gate_up->in_out = down->in_out;
  if (down->in == down->out && gate_up->plain != nullptr) down->in_out = gate_up->in_out;
  add_parts(config, layer, *gate_up, *down);
}

ExpertsTensor* PackedExperts::add_tensor(const Checkpoint& checkpoint, ExpertsTensor tensor, bool biases) {
  tensor.plain = checkpoint.find(tensor.name);
  if (tensor.plain != nullptr) {
    tensor.in_out = is_in_out(checkpoint, tensor);
  } else if (Mxfp4Rows::has(checkpoint, tensor.name)) {
    tensor.mxfp4 =
        std::make_unique<Mxfp4Rows>(checkpoint, tensor.name, tensor.experts, tensor.experts * tensor.out, tensor.in);
  } else {
    return nullptr;
  }
  if (biases) tensor.biases = find_biases(checkpoint, tensor);
  tensors_.push_back(std::make_unique<ExpertsTensor>(std::move(tensor)));
  ExpertsTensor* added = tensors_.back().get();
  for (const TensorView* view : {added->plain, added->biases}) {
    if (view != nullptr) read_.emplace(view->spec.name, added);
  }
  if (added->mxfp4 != nullptr) {
    read_.emplace(added->mxfp4->blocks().spec.name, added);
    read_.emplace(added->mxfp4->scales().spec.name, added);
  }
  return added;
}

void PackedExperts::add_parts(const ModelConfig& config, int64_t layer, const ExpertsTensor& gate_up,
                              const ExpertsTensor& down) {
  const int64_t width = config.experts.width;
  const auto add = [&](const LinearShape& linear, const ExpertPart& part) {
    parts_.emplace(linear.name + ".weight", part);
    if (!linear.bias || part.of->biases == nullptr) return;
    ExpertPart bias = part;
    bias.bias = true;
    parts_.emplace(linear.name + ".bias", bias);
  };
  for (const StageShape& stage : expert_stages(config, layer)) {
    const int64_t e = stage.expert;
    if (e >= config.experts.count) continue;
    if (stage.linears.size() == 1) {
      add(stage.linears[0], {&down, e, 0, config.hidden});
      continue;
    }
    // Halves also where outputs of gate and up take turns: GPTQModel cuts the tensor so, and mlp.cpp deals them out.
    add(stage.linears[0], {&gate_up, e, 0, width});
    add(stage.linears[1], {&gate_up, e, width, width});
  }
}

const ExpertsTensor* PackedExperts::tensor_of(std::string_view tensor) const {
  const auto found = read_.find(tensor);
  return found == read_.end() ? nullptr : found->second;
}

const ExpertPart* PackedExperts::find(std::string_view tensor) const {
  const auto found = parts_.find(tensor);
  return found == parts_.end() ? nullptr : &found->second;
}

}  // namespace hesse
