#include "api/open_model.h"

#include <utility>

#include "io/file.h"

namespace hesse {

WeightSource::Shape PackedSource::linear_shape(std::string_view module) const {
  if (!format_.has(checkpoint_, module)) return CheckpointSource::linear_shape(module);
  const auto [out, in] = format_.size(checkpoint_, module);
  return {out, in};
}

ComputeMatrix PackedSource::linear_as(ComputeType type, std::string_view module) const {
  if (!format_.has(checkpoint_, module)) return CheckpointSource::linear_as(type, module);
  ComputeMatrix weight = to_compute_type(type, dequantize(format_.read(checkpoint_, module, config_)));
  checkpoint_.release_module(module);
  return weight;
}

OpenModel open_model(const std::filesystem::path& directory) {
  OpenModel model;
  model.directory = directory;
  model.config_json = read_config_json(directory);
  model.config = parse_model_config(model.config_json, "config.json");
  model.checkpoint = std::make_unique<Checkpoint>(directory);
  const Json* quantization = model.config_json.find_value("quantization_config");
  model.format = format_of(quantization);
  if (model.format == nullptr) {
    model.source = std::make_unique<CheckpointSource>(*model.checkpoint);
  } else {
    model.source = std::make_unique<PackedSource>(*model.checkpoint, *model.format, *quantization);
  }
  return model;
}

}  // namespace hesse
