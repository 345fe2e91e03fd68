// A packed checkpoint in another format of the table. It goes by the names of tensors alone, so the architecture need
// not be known.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "formats/format.h"
#include "io/checkpoint.h"
#include "io/json.h"

namespace hesse {

struct ConversionRequest {
  const Checkpoint& checkpoint;
  const Json& config_json;  // with a quantization_config
  const ExportFormat& from;
  const ExportFormat& to;
  std::string version;                    // of Hesse
  std::string head;                       // module of the output head, whether it has a tensor or not
  std::vector<std::string> linears = {};  // that a quantizer may pack; empty: not known
  bool in_out = false;                    // the family's plain weights lie [in, out]
};

class Conversion {
 public:
  // Told the share that is done; may throw to stop.
  using Progress = std::function<void(double share)>;

  // Reads every packed linear. Error(kUsage) names the first that the format cannot hold, and why.
  Conversion(ConversionRequest request, const Progress& progress);

  // Into `directory`, which exists and is empty: all tensors and config.json. Every packed linear is read back and
  // compared, Error(kEnvironment).
  void write(const std::filesystem::path& directory, int64_t max_shard_bytes, const Progress& progress) const;

  int64_t linears() const { return static_cast<int64_t>(modules_.size()); }

 private:
  QuantizedLinear read(const std::string& module) const;
  void require_one_spec(size_t index) const;
  void write_tensors(const std::filesystem::path& directory, int64_t max_shard_bytes, const Progress& progress) const;
  void require_equal(const std::filesystem::path& directory) const;
  bool is_packed(const TensorSpec& tensor) const;
  std::vector<std::string> skipped() const;
  FormatConfig format_config() const;
  Json new_config() const;

  ConversionRequest r_;
  Json quantization_;
  std::vector<std::string> modules_;
  std::vector<LinearForm> forms_;  // of each
};

}  // namespace hesse
