// What the formats with packed codes share: checks of a linear before it is written, and of tensors before they are
// believed. Problems are clauses with their numbers; an empty one is none.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"

namespace hesse {

// Where a message is about: "[gptq] model.layers.0.mlp.up_proj: ...".
struct Place {
  std::string_view format;
  std::string_view module;
};
[[noreturn]] void refuse(const Place& place, const std::string& what);  // Error(kBadInput)
[[noreturn]] void broken(const Place& place, const std::string& what);  // Error(kInternal)

// The number of codes must be a multiple of this to fill whole words.
constexpr int64_t packing_step(int bits) { return (bits == 3) ? 32 : 32 / bits; }

// Widths other than 2, 3, 4 and 8, empty shapes, group sizes that are none or wider than the row.
std::string spec_problem(int64_t out, int64_t in, const LinearSpec& spec);
// Sizes that leave a word half empty, and the widths that would not.
std::string packing_problem(int64_t out, int64_t in, const LinearSpec& spec);
// A shorter last group, for formats that know none.
std::string ragged_problem(int64_t in, const LinearSpec& spec);
// Groups that do not lie side by side, for formats that know no others.
std::string order_problem(const QuantizedLinear& linear);

// Why `group_of` cannot be the g_idx of a linear with `groups` groups. Every group must have an input: a map that is 0
// everywhere means "group 0" to some programs and "i / group size" to others.
std::string group_map_problem(const std::vector<int32_t>& group_of, int64_t groups);
// What a linear to be written may not hold: sizes that do not belong together, codes above the largest, zero points
// below `lowest_zero` or above the largest code (of a symmetric one: other than the middle), scales that are no finite
// halves other than 0.
std::string value_problem(const QuantizedLinear& linear, int lowest_zero);

Matrix<uint16_t> half_scales(const QuantizedLinear& linear);  // of one without value_problem()

template <class T>
std::span<const std::byte> bytes_of(const T& container, int64_t size) {
  return std::as_bytes(std::span(container.data(), static_cast<size_t>(size)));
}

// The tensor MODULE.suffix; Error(kBadInput) when it is absent, empty, or not of the dtype and number of dimensions.
// kScales stands for F16, BF16 or F32.
enum class Stored { kWords, kScales, kShape };
struct Wanted {
  std::string_view suffix;
  Stored kind = Stored::kWords;
  size_t dimensions = 2;
};
const TensorView& find_tensor(const Place& place, const Checkpoint& checkpoint, const Wanted& wanted);
void check_shape(const Place& place, const TensorView& tensor, std::string_view suffix, std::vector<int64_t> shape);

// The bytes of a mapped file need not be aligned.
template <class T>
Matrix<T> copy_tensor(const TensorView& tensor, int64_t rows, int64_t cols) {
  Matrix<T> copy(rows, cols);
  std::memcpy(copy.data(), tensor.bytes.data(), tensor.bytes.size());
  return copy;
}
std::vector<int32_t> copy_group_map(const Place& place, const TensorView& tensor, int64_t groups);
Matrix<float> copy_scales(const TensorView& tensor);  // as they lie, whatever their values
// Error(kBadInput) for one of scales [groups, out] that is not finite.
void require_finite(const Place& place, const Matrix<float>& scales);
// The first zero point that is not the middle, as words; empty: all are.
std::string asymmetry(const QuantizedLinear& linear);

}  // namespace hesse
