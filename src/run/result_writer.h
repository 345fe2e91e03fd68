// The result directory: packed linears, everything else of the model unchanged, the configuration.
#pragma once

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "run/job.h"
#include "run/work_directory.h"

namespace hesse {

// The object "quantization_config" of the result.
Json quantization_config(const Job& job, const std::string& version);
// The same for the files of units, which are in the working format.
Json working_config(const Job& job);

class ResultWriter {
 public:
  // Knows the sizes before any tensor is made.
  explicit ResultWriter(const Job& job);

  // Into `directory`, which exists and is empty: the packed linears of all units of `work`, those of the earlier result
  // that are kept, the other tensors as they are, byte for byte, the files beside them, and the configuration.
  void compose(const WorkDirectory& work, const std::filesystem::path& directory, const std::string& version) const;
  // Reads every packed linear back from the files and compares codes, scales, zero points and groups with what was
  // meant. Error(kEnvironment) names the first that differs. Call after compose().
  void verify(const WorkDirectory& work, const std::filesystem::path& directory) const;

  int64_t output_bytes() const { return output_bytes_; }  // of all tensors
  double bits_per_weight() const;                         // of the packed linears

 private:
  std::vector<CheckpointWriter::Item> items() const;
  // Those of the model that are in the result as they are; and the tensors of all experts that it makes anew.
  std::vector<PlainTensor> kept_tensors() const;
  std::set<std::string> assembled() const;
  void require_written(const Checkpoint& written, const Json& quantization, const std::string& linear,
                       const std::string& meant) const;
  void copy_units(const WorkDirectory& work, CheckpointWriter& writer) const;
  // The weights of all units as the plain numbers of the result.
  void for_each_plain(const WorkDirectory& work, const TensorSink& sink) const;
  void verify_plain(const WorkDirectory& work, const Checkpoint& written) const;
  void copy_kept_linears(CheckpointWriter& writer) const;
  void copy_tensors(CheckpointWriter& writer) const;
  void write_config(const std::filesystem::path& directory, const std::string& version) const;

  const Job& job_;
  int64_t output_bytes_ = 0;
  int64_t packed_bytes_ = 0;
  int64_t packed_weights_ = 0;
};

}  // namespace hesse
