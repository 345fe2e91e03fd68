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
#include "model/packed_experts.h"

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

// A tensor of a checkpoint as it would be were all of them F16, BF16 and F32. Experts are kApart, each with tensors of
// its own, or kTogether, as in files that have one tensor of all.
enum class ExpertsForm { kApart, kTogether };
struct PlainTensor {
  TensorSpec spec;
  const TensorView* in_file = nullptr;  // where its values lie
  const ExpertPart* part = nullptr;     // kApart: of a larger tensor
  const ExpertsTensor* all = nullptr;   // kTogether, where the file has it in MXFP4
};
struct PlainBytes {
  std::vector<std::byte> own;  // what `view` shows, or empty
  std::span<const std::byte> view;
};

// The weights of a full-precision checkpoint: F16, BF16 and F32, linears in blocks of FP8 (fp8.h), and experts that lie
// in one tensor of all, in MXFP4 too (packed_experts.h).
class CheckpointSource : public WeightSource {
 public:
  // Without a config no tensor is known for one of experts.
  explicit CheckpointSource(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
  CheckpointSource(const Checkpoint& checkpoint, const ModelConfig& config);

  const PackedExperts& packed_experts() const { return experts_; }
  // All tensors, in the order of the file; nothing is left of the scales of FP8 and MXFP4.
  virtual std::vector<PlainTensor> plain_tensors(ExpertsForm form) const;
  virtual PlainBytes plain_bytes(const PlainTensor& tensor) const;

  // Reads a whole tensor. Nothing for tensors of other dtypes.
  std::optional<BadValue> find_nonfinite(const PlainTensor& tensor) const;
  [[noreturn]] void refuse_nonfinite(const PlainTensor& tensor, const BadValue& bad) const;  // Error(kBadInput)
  // From now on linear(module) gives 0 for values that are not finite, in place of an error.
  void pardon(std::string_view module) { pardoned_.emplace(module); }
  bool is_pardoned(std::string_view module) const { return pardoned_.find(module) != pardoned_.end(); }

  Shape linear_shape(std::string_view module, WeightLayout layout = WeightLayout::kOutIn) const override;
  ComputeMatrix linear_as(ComputeType type, std::string_view module,
                          WeightLayout layout = WeightLayout::kOutIn) const override;
  std::vector<float> vector(std::string_view name, int64_t size) const override;
  bool has(std::string_view name) const override {
    return checkpoint_.find(name) != nullptr || experts_.find(name) != nullptr;
  }
  Matrix<float> rows(std::string_view name, std::span<const int32_t> ids, int64_t cols) const override;
  void prefetch(std::string_view module) const override;
  void release(std::string_view module) const override { checkpoint_.release_module(module); }

 private:
  // Rows [first, first + count) of the linear: [count, in].
  using Rows = std::function<void(int64_t first, int64_t count, float* values)>;
  Rows rows_of(const TensorView& weight, int64_t in) const;
  ComputeMatrix read_rows(ComputeType type, std::string_view module, const Shape& shape, const Rows& rows) const;

  const Checkpoint& checkpoint_;
  PackedExperts experts_;
  std::set<std::string, std::less<>> pardoned_;
};

// Whether a model with this "quantization_config" (nullptr: none) is read as if its weights were plain: FP8 and MXFP4.
bool is_read_as_plain(const Json* quantization_config);

// m itself, or rounded to bfloat16.
ComputeMatrix to_compute_type(ComputeType type, Matrix<float> m);

// `view` of `count` elements starting at `first`, as float32. The dtype must be F16, BF16 or F32.
void convert_to_float(const TensorView& view, int64_t first, int64_t count, float* out);

}  // namespace hesse
