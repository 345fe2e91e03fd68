// Puts the linears of experts back into the tensors of all of them, for results that are read as the model itself is.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "formats/format.h"
#include "run/job.h"

namespace hesse {

class ExpertAssembly {
 public:
  // `job`, whose format keeps no codes, outlives it. A tensor goes to `sink` when its last packed linear has come;
  // until then it is in memory: of linears in the order of solving the two of one layer.
  ExpertAssembly(const Job& job, TensorSink sink);

  // A plain weight [out, in] of 16 bits. What is no part of a tensor of all experts goes to `sink` as it is.
  void take(std::string_view name, std::span<const std::byte> bytes);

 private:
  struct Whole {
    std::vector<std::byte> bytes;
    int64_t missing = 0;
  };
  Whole begin(const ExpertsTensor& tensor) const;

  const Job& job_;
  TensorSink sink_;
  std::map<const ExpertsTensor*, Whole> wholes_;
};

// The names of the tensors of all experts of which some linear is packed.
std::vector<std::string> assembled_tensors(const Job& job);
// The dtype of the plain numbers of the format.
DType plain_dtype(const ExportFormat& format);

}  // namespace hesse
