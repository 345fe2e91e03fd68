// 16-bit floats: all 65536 of them, by bits.
#include <bit>

#include "base/dtype.h"
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class Convert : public KernelTest {};
HESSE_FOR_EACH_TARGET(Convert);

using Conversion = void(const uint16_t*, float*, int64_t);

// From every value, in an order that changes its neighbours, and at an odd place.
void expect_all_bits(Conversion* convert, float (*expected)(uint16_t)) {
  std::vector<uint16_t> in(65537);
  for (size_t i = 0; i < 65536; ++i) in[i + 1] = static_cast<uint16_t>(i * 40503u);
  Floats out(65536);
  convert(in.data() + 1, out.data(), 65536);
  int64_t wrong = 0;
  for (size_t i = 0; i < 65536; ++i) {
    wrong += std::bit_cast<uint32_t>(out[i]) != std::bit_cast<uint32_t>(expected(in[i + 1]));
  }
  EXPECT_EQ(wrong, 0);
}

TEST_P(Convert, HalfIsExact) { expect_all_bits(f16_to_f32, f16_to_float); }
TEST_P(Convert, BfloatIsExact) { expect_all_bits(bf16_to_f32, bf16_to_float); }
TEST(ScalarTwin, HalfIsExact) { expect_all_bits(scalar::f16_to_f32, f16_to_float); }
TEST(ScalarTwin, BfloatIsExact) { expect_all_bits(scalar::bf16_to_f32, bf16_to_float); }

TEST_P(Convert, NothingBeyondTheEndIsWritten) {
  for (Conversion* convert : {f16_to_f32, bf16_to_f32}) {
    for (const int64_t n : sizes()) {
      for (int64_t offset = 0; offset < kOffsets; ++offset) {
        const std::vector<uint16_t> in(static_cast<size_t>(n + offset), uint16_t{0x3C00});
        Row out(n + 1, offset, -7.0f);
        convert(in.data() + offset, out.data(), n);
        EXPECT_EQ(out[n], -7.0f);
        for (int64_t i = 0; i < n; ++i) ASSERT_NE(out[i], -7.0f);
      }
    }
  }
}

}  // namespace
}  // namespace hesse
