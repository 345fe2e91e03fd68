// Which linears of a model a run quantizes: --layers and --redo.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/block.h"

namespace hesse {

struct LayerRange {
  int64_t first = 0;
  int64_t last = 0;  // included
};

// "0-3,8": numbers as in the names of tensors, from 0. Error(kUsage) for what is no such list.
std::vector<LayerRange> parse_layers(std::string_view text);

// The stages of a model, layer by layer.
using LayerStages = std::vector<std::vector<StageShape>>;

LayerStages stages_by_layer(const ModelConfig& config);

// Names of the linears that both leave: `layers` as parse_layers() reads it, empty: all; `patterns` as a shell matches
// names ("model.layers.17.mlp.*"), empty: all. Error(kUsage) for a layer that the model does not have, and for a
// pattern that matches nothing.
std::set<std::string> select_linears(const LayerStages& stages, std::string_view layers,
                                     const std::vector<std::string>& patterns);

}  // namespace hesse
