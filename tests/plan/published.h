// Configurations of published models: tests/data/configs/README.md.
#pragma once

#include <string>

#include "io/file.h"
#include "io/json.h"
#include "plan/shapes.h"

namespace hesse {

inline Json published_config(const std::string& name) {
  const std::string path = std::string(HESSE_SOURCE_DIR) + "/tests/data/configs/" + name + ".json";
  return Json::parse(read_text_file(path), name);
}

inline ModelShapes published(const std::string& name) { return shapes_of_config(published_config(name), name); }

// Stages of all layers, as a run lists them.
inline std::vector<StageShape> stages_of(const ModelShapes& model) {
  std::vector<StageShape> stages;
  for (const PlannedLayer& layer : model.layers) stages.insert(stages.end(), layer.stages.begin(), layer.stages.end());
  return stages;
}

}  // namespace hesse
