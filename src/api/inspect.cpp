#include <set>
#include <string_view>

#include "api/open_model.h"
#include "base/dtype.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "plan/group_sizes.h"

namespace hesse {
namespace {

// Elements of all tensors that are no part of a linear's weight, whether that is packed or not.
int64_t parameters_beside(const ModelInfo& info) {
  std::set<std::string_view> linears;
  for (const LinearInfo& linear : info.linears) linears.insert(linear.name);
  int64_t sum = 0;
  for (const TensorInfo& tensor : info.tensors) {
    const size_t dot = tensor.name.rfind('.');
    const bool part = dot != std::string::npos && linears.count(std::string_view(tensor.name).substr(0, dot)) != 0;
    if (part && !tensor.name.ends_with(".bias")) continue;
    int64_t elements = 1;
    for (const int64_t size : tensor.shape) elements *= size;
    sum += elements;
  }
  return sum;
}

}  // namespace

ModelInfo inspect(const InspectOptions& options) {
  const OpenModel opened = open_model(options.model, options.as);
  const ModelConfig& c = opened.config;
  ModelInfo info;
  info.family = c.family->name;
  info.format = opened.format_name();
  info.layers = c.layers;
  info.hidden = c.hidden;
  info.intermediate = c.intermediate;
  info.heads = c.heads;
  info.kv_heads = c.kv_heads;
  info.head_dim = c.head_dim;
  info.vocab = c.vocab;
  info.max_positions = c.max_positions;
  info.rope = describe_rope(c);
  info.tied_head = head_module(c, *opened.source) != c.own_head();
  const Model model(c, *opened.source, 1);  // checks that every tensor is there with its shape
  info.group_sizes = dividing_group_sizes(model_stages(c));
  info.group_sizes.push_back(-1);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    for (const StageShape& stage : layer_stages(c, layer)) {
      for (const LinearShape& linear : stage.linears) {
        info.linears.push_back({linear.name, layer, linear.out, linear.in, std::string(stage.name)});
        info.parameters += linear.out * linear.in;
      }
    }
  }
  for (const TensorView* tensor : opened.checkpoint->tensors()) {
    const TensorSpec& spec = tensor->spec;
    info.tensors.push_back({spec.name, std::string(dtype_name(spec.dtype)), spec.shape, spec.bytes()});
    info.bytes += spec.bytes();
  }
  info.parameters += parameters_beside(info);
  return info;
}

}  // namespace hesse
