#include "api/open_model.h"

#include <utility>

#include "api/families.h"
#include "io/file.h"
#include "model/tensors.h"

namespace hesse {

WeightSource::Shape PackedSource::linear_shape(std::string_view module, WeightLayout layout) const {
  if (!format_.has(checkpoint_, module)) return CheckpointSource::linear_shape(module, layout);
  const auto [out, in] = format_.size(checkpoint_, module);
  return {out, in};
}

ComputeMatrix PackedSource::linear_as(ComputeType type, std::string_view module, WeightLayout layout) const {
  if (!format_.has(checkpoint_, module)) return CheckpointSource::linear_as(type, module, layout);
  ComputeMatrix weight = to_compute_type(type, dequantize(format_.read(checkpoint_, module, config_)));
  checkpoint_.release_module(module);
  return weight;
}

OpenModel open_model(const std::filesystem::path& directory, const std::string& as) {
  OpenModel model;
  model.directory = directory;
  model.config_json = read_config_json(directory);
  const Json config = config_as(model.config_json, as);
  if (!is_unknown_type(config)) model.config = parse_model_config(config, "config.json");
  model.checkpoint = std::make_unique<Checkpoint>(directory);
  if (is_unknown_type(config)) throw unknown_type(config, *model.checkpoint);
  const Json* quantization = model.config_json.find_value("quantization_config");
  model.format = is_read_as_plain(quantization) ? nullptr : format_of(quantization);
  if (model.format == nullptr) {
    model.source = std::make_unique<CheckpointSource>(*model.checkpoint, model.config);
  } else {
    model.source = std::make_unique<PackedSource>(*model.checkpoint, *model.format, *quantization);
  }
  model.config = choose_scheme(std::move(model.config), *model.source);
  return model;
}

}  // namespace hesse
