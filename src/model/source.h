// Where a model's weights come from: matrices by the name of their tensor, whatever lies in the files.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/compute_matrix.h"
#include "base/matrix.h"
#include "io/checkpoint.h"

namespace hesse {

// How the rows of a linear lie in a file of plain weights; a packed one has a form of its own.
enum class WeightLayout { kOutIn, kInOut };

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // Shape [out, in] of the linear `module` (a name without ".weight"), without reading it; {0, 0} when absent.
  struct Shape {
    int64_t out = 0;
    int64_t in = 0;
  };
  virtual Shape linear_shape(std::string_view module, WeightLayout layout = WeightLayout::kOutIn) const = 0;
  // The linear, [out, in]; bfloat16 rounds what the file has more precisely. Error(kBadInput) names file, tensor and
  // element when a value is not finite.
  virtual ComputeMatrix linear_as(ComputeType type, std::string_view module,
                                  WeightLayout layout = WeightLayout::kOutIn) const = 0;
  Matrix<float> linear(std::string_view module) const { return std::move(linear_as(ComputeType::kF32, module).f32()); }
  // A plain tensor of one dimension; its length must be `size`. Error(kBadInput) otherwise.
  virtual std::vector<float> vector(std::string_view name, int64_t size) const = 0;
  virtual bool has(std::string_view name) const = 0;
  // Rows `ids` of a plain two-dimensional tensor [*, cols].
  virtual Matrix<float> rows(std::string_view name, std::span<const int32_t> ids, int64_t cols) const = 0;
  // Says that `module` will be read soon. Only advice.
  virtual void prefetch(std::string_view module) const = 0;
  // Says that the pages of `module` are not needed any more. Only advice.
  virtual void release(std::string_view module) const = 0;
};

// The first value of a tensor that is not finite, by rows of its last dimension.
struct BadValue {
  int64_t row = 0;
  int64_t column = 0;
  float value = 0;
};

// The weights of a full-precision checkpoint: F16, BF16 and F32, and linears in blocks of FP8 (fp8.h).
class CheckpointSource : public WeightSource {
 public:
  explicit CheckpointSource(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // Reads a whole tensor. Nothing for tensors of other dtypes.
  std::optional<BadValue> find_nonfinite(const TensorView& tensor) const;
  [[noreturn]] void refuse_nonfinite(const TensorView& tensor, const BadValue& bad) const;  // Error(kBadInput)
  // From now on linear(module) gives 0 for values that are not finite, in place of an error.
  void pardon(std::string_view module) { pardoned_.emplace(module); }
  bool is_pardoned(std::string_view module) const { return pardoned_.find(module) != pardoned_.end(); }

  Shape linear_shape(std::string_view module, WeightLayout layout = WeightLayout::kOutIn) const override;
  ComputeMatrix linear_as(ComputeType type, std::string_view module,
                          WeightLayout layout = WeightLayout::kOutIn) const override;
  std::vector<float> vector(std::string_view name, int64_t size) const override;
  bool has(std::string_view name) const override { return checkpoint_.find(name) != nullptr; }
  Matrix<float> rows(std::string_view name, std::span<const int32_t> ids, int64_t cols) const override;
  void prefetch(std::string_view module) const override;
  void release(std::string_view module) const override { checkpoint_.release_module(module); }

 private:
  const Checkpoint& checkpoint_;
  std::set<std::string, std::less<>> pardoned_;
};

// m itself, or rounded to bfloat16.
ComputeMatrix to_compute_type(ComputeType type, Matrix<float> m);

// `view` of `count` elements starting at `first`, as float32. The dtype must be F16, BF16 or F32.
void convert_to_float(const TensorView& view, int64_t first, int64_t count, float* out);

}  // namespace hesse
