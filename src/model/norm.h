// Norms of rows and of heads: the factors from the file and how they are applied.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/compute_matrix.h"
#include "base/matrix.h"
#include "model/config.h"
#include "model/source.h"

namespace hesse {

struct Norm {
  bool present = false;  // false: rows stay as they are
  NormKind kind = NormKind::kRms;
  float eps = 0;
  std::vector<float> weight;  // the family's offset included; empty: 1
  std::vector<float> bias;    // empty: 0

  void apply(const float* x, float* out, int64_t n) const;  // out may be x
};

// A tensor of a norm.
struct NormShape {
  std::string name;  // in the file
  int64_t size = 0;
  int64_t rows = 0;  // of a tensor of two dimensions; 0: it has one
};

// The norm `module` of rows of `size`, none when the name is empty; the tensors that it reads.
Norm load_norm(const ModelConfig& config, const WeightSource& source, const std::string& module, int64_t size);
std::vector<NormShape> norm_shapes(const ModelConfig& config, const std::string& module, int64_t size);

// Rows of the norm of h in the type of `out`, which may be h itself.
void norm_rows(const Norm& norm, MatrixView<const float> h, ComputeView out);

// What queries or keys go through before the rotation: a norm of each head, or of all together.
class HeadNorms {
 public:
  HeadNorms() = default;
  HeadNorms(const ModelConfig& config, const WeightSource& source, const std::string& module, int64_t heads);
  void apply(float* row) const;  // [heads * head_dim]

 private:
  Norm norm_;  // with the factors of all its parts one after the other
  int64_t parts_ = 0;
  int64_t size_ = 0;    // of a part
  int64_t stride_ = 0;  // from the factors of a part to those of the next; 0: they share them
};
std::vector<NormShape> head_norm_shapes(const ModelConfig& config, const std::string& module, int64_t heads);

}  // namespace hesse
