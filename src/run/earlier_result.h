// A finished result that a run changes in parts: the linears that are not solved again come from there.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "formats/format.h"
#include "hesse/events.h"
#include "io/checkpoint.h"
#include "io/json.h"
#include "model/block.h"
#include "model/source.h"

namespace hesse {

class EarlierResult {
 public:
  // Of `directory`, which holds a result of `model` with a record `marker`. Error(kUsage) when it is none, when it is
  // in another format, or when it was made from another model.
  struct Expected {
    const CheckpointSource& model;
    const ExportFormat& format;
  };
  EarlierResult(const std::filesystem::path& directory, const std::string& marker, const Expected& expected);

  const std::string& fingerprint() const { return fingerprint_; }  // two results with the same one are the same
  bool holds(const std::string& linear) const { return records_.count(linear) != 0; }  // packed
  const LinearRecord& record(const std::string& linear) const { return records_.at(linear); }
  LinearSpec spec(const std::string& linear) const;  // of what it holds
  QuantizedLinear read(const std::string& linear) const;
  const Checkpoint& checkpoint() const { return checkpoint_; }

 private:
  void read_records(const Json& record);
  void require_same_model(const CheckpointSource& model) const;

  std::filesystem::path directory_;
  const ExportFormat& format_;
  Checkpoint checkpoint_;
  Json quantization_;
  std::string fingerprint_;
  std::map<std::string, LinearRecord> records_;  // of what is packed there
};

}  // namespace hesse
