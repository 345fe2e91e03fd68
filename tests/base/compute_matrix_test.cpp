#include "base/compute_matrix.h"

#include <gtest/gtest.h>

#include "hesse/error.h"

namespace hesse {
namespace {

constexpr uint16_t kOne = 0x3F80, kMinusTwo = 0xC000;

ComputeMatrix example(ComputeType type) {
  ComputeMatrix m(type, 3, 4);
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 4; ++c) {
      const bool one = (r + c) % 2 == 0;
      if (type == ComputeType::kF32) m.view().f32()(r, c) = one ? 1.0f : -2.0f;
      if (type == ComputeType::kBF16) m.view().bf16()(r, c) = one ? kOne : kMinusTwo;
    }
  }
  return m;
}

TEST(ComputeMatrix, ViewsOfBothTypesReadTheSameNumbers) {
  for (const ComputeType type : {ComputeType::kF32, ComputeType::kBF16}) {
    const ComputeMatrix m = example(type);
    EXPECT_EQ(m.type(), type);
    EXPECT_EQ(m.size(), 12);
    const ConstComputeView part = m.view().block(1, 1, 2, 3);
    EXPECT_EQ(part.rows, 2);
    EXPECT_EQ(part.cols, 3);
    EXPECT_EQ(part.stride, 4);
    for (int64_t r = 0; r < 2; ++r) {
      for (int64_t c = 0; c < 3; ++c) EXPECT_EQ(part.at(r, c), (r + c) % 2 == 0 ? 1.0f : -2.0f);
    }
    EXPECT_EQ(m.view().row_range(2, 1).at(0, 0), 1.0f);
  }
}

TEST(ComputeMatrix, CopiesRowsInTheirNewOrder) {
  for (const ComputeType type : {ComputeType::kF32, ComputeType::kBF16}) {
    const ComputeMatrix m = example(type);
    const int64_t rows[] = {2, 1, 1};
    const ComputeMatrix copy = copy_rows(m.view().block(0, 1, 3, 2), rows);
    EXPECT_EQ(copy.type(), type);
    ASSERT_EQ(copy.rows(), 3);
    ASSERT_EQ(copy.cols(), 2);
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t c = 0; c < 2; ++c) EXPECT_EQ(copy.view().at(r, c), m.view().at(rows[r], c + 1));
    }
    EXPECT_EQ(copy_rows(m.view(), {}).rows(), 0);
  }
}

TEST(ComputeMatrix, TheOtherTypeIsAnInternalError) {
  EXPECT_THROW(example(ComputeType::kF32).view().bf16(), Error);
  EXPECT_THROW(example(ComputeType::kBF16).view().f32(), Error);
}

TEST(ComputeMatrix, TakesOverMemoryThatIsLargeEnough) {
  for (const ComputeType type : {ComputeType::kF32, ComputeType::kBF16}) {
    ComputeMatrix m(type, 6, 8);
    const void* memory = m.view().data;
    m = ComputeMatrix::in_memory_of(std::move(m), type, 3, 5);
    EXPECT_EQ(m.view().data, memory);
    EXPECT_EQ(m.view().stride, 5);
    m = ComputeMatrix::in_memory_of(std::move(m), type, 8, 6);  // what it had at first is remembered
    EXPECT_EQ(m.view().data, memory);
    EXPECT_EQ(m.rows(), 8);
    m = ComputeMatrix::in_memory_of(std::move(m), type, 7, 7);
    EXPECT_EQ(m.size(), 49);
    const ComputeType other = type == ComputeType::kF32 ? ComputeType::kBF16 : ComputeType::kF32;
    m = ComputeMatrix::in_memory_of(std::move(m), other, 1, 2);
    EXPECT_EQ(m.type(), other);
    m.view().row_range(0, 1);
  }
}

}  // namespace
}  // namespace hesse
