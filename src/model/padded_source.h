// A model whose MLPs are wider than in its files: the channels behind the last are zero, so it computes the same.
// Groups and the shares of several devices then divide a width that they did not divide before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/source.h"

namespace hesse {

// How one dimension of a tensor grows: `parts` pieces of `narrow` each to `wide` each, zeros behind each piece. Of a
// matrix that holds gate and up together there are two.
struct PaddedSide {
  int dimension = 0;
  int64_t parts = 1;
  int64_t narrow = 0;
  int64_t wide = 0;
};

class PaddedSource final : public CheckpointSource {
 public:
  // `config` as in the files; `wide` is at least config.intermediate.
  PaddedSource(const Checkpoint& checkpoint, const ModelConfig& config, int64_t wide);

  Shape linear_shape(std::string_view module, WeightLayout layout = WeightLayout::kOutIn) const override;
  ComputeMatrix linear_as(ComputeType type, std::string_view module,
                          WeightLayout layout = WeightLayout::kOutIn) const override;
  std::vector<float> vector(std::string_view name, int64_t size) const override;

  std::vector<PlainTensor> plain_tensors(ExpertsForm form) const override;
  PlainBytes plain_bytes(const PlainTensor& tensor) const override;

  // A tensor of the files as the wide model has it; that of a tensor that does not change is the same.
  TensorSpec spec(const TensorView& tensor) const;
  std::vector<std::byte> bytes(const TensorView& tensor) const;

 private:
  const PaddedSide* side_of(std::string_view tensor) const;

  std::map<std::string, PaddedSide, std::less<>> sides_;  // by the names of the tensors in the files
};

// What `--pad-intermediate auto` takes: the smallest multiple of groups of `group_size` inputs (-1: of 128) for 8
// devices, or for as many as can be had with a twentieth more channels; `narrow` itself when it needs no more.
int64_t padded_width(int64_t narrow, int64_t group_size);

// `config_json` with `wide` where the family reads the width of its MLPs. Error(kUsage) when it has no such key.
Json with_intermediate(const Json& config_json, const ModelConfig& config, int64_t wide);

}  // namespace hesse
