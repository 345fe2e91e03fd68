// Where the activations of the calibration tokens lie: in memory, or in files when the memory is too small for them.
#pragma once

#include <filesystem>
#include <optional>
#include <utility>

#include "base/compute_matrix.h"
#include "base/matrix.h"

namespace hesse {

class ActivationStore {
 public:
  ActivationStore() = default;  // in memory
  explicit ActivationStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  bool in_files() const { return folder_.has_value(); }
  Matrix<float> matrix(int64_t rows, int64_t cols) const;
  // In the memory of `old` where that is large enough.
  ComputeMatrix matrix_in(ComputeMatrix old, ComputeType type, int64_t rows, int64_t cols) const;
  // Rows of a matrix of this store will not be looked at again soon.
  void put_aside(ConstComputeView rows) const;

 private:
  std::optional<std::filesystem::path> folder_;
};

}  // namespace hesse
