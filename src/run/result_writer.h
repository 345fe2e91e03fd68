// The result directory: packed linears, everything else of the model unchanged, the configuration.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "quant/spec.h"
#include "run/job.h"

namespace hesse {

class ResultWriter {
 public:
  // Lays out all tensors before any is made; `directory` exists and is empty.
  ResultWriter(const Job& job, const std::filesystem::path& directory);

  // Writes the packed form of one linear and remembers what was meant.
  void write(const std::string& module, const QuantizedLinear& linear);
  // The other tensors as they are, byte for byte, the files beside them, and the configuration.
  void finish(const std::string& version);
  // Reads every packed linear back from the files and compares codes, scales, zero points and groups with what was
  // meant. Error(kEnvironment) names the first that differs. Call after finish().
  void verify() const;

  int64_t output_bytes() const { return writer_->total_bytes(); }
  double bits_per_weight() const;  // of the packed linears

 private:
  void copy_tensors();
  void copy_files() const;
  void write_config(const std::string& version) const;

  const Job& job_;
  std::filesystem::path directory_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::map<std::string, std::string> meant_;  // module -> digest
  int64_t packed_bytes_ = 0;
  int64_t packed_weights_ = 0;
};

}  // namespace hesse
