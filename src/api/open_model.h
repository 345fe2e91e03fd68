// A model directory opened for running: full precision or packed in any format of the table.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "formats/format.h"
#include "io/checkpoint.h"
#include "model/model.h"

namespace hesse {

// The weights of a packed checkpoint, dequantized one linear at a time; what is not packed is read as it is.
class PackedSource : public CheckpointSource {
 public:
  PackedSource(const Checkpoint& checkpoint, const ExportFormat& format, Json quantization_config)
      : CheckpointSource(checkpoint),
        checkpoint_(checkpoint),
        format_(format),
        config_(std::move(quantization_config)) {}

  Shape linear_shape(std::string_view module, WeightLayout layout = WeightLayout::kOutIn) const override;
  ComputeMatrix linear_as(ComputeType type, std::string_view module,
                          WeightLayout layout = WeightLayout::kOutIn) const override;

 private:
  const Checkpoint& checkpoint_;
  const ExportFormat& format_;
  Json config_;
};

struct OpenModel {
  std::filesystem::path directory;
  Json config_json;
  std::unique_ptr<Checkpoint> checkpoint;
  const ExportFormat* format = nullptr;  // nullptr: full precision
  std::unique_ptr<WeightSource> source;
  ModelConfig config;

  std::string format_name() const { return format == nullptr ? "full precision" : std::string(format->name()); }
};

// Error(kBadInput) for a directory that is no model that Hesse can run. `as`: the family of an unknown model_type.
OpenModel open_model(const std::filesystem::path& directory, const std::string& as = {});

}  // namespace hesse
