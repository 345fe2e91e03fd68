// What a kernel computes depends on the elements it is given and on nothing else: not on where they begin, nor on what
// lies around them, and what lies around them stays as it was. Every kernel is a row of kKernels.
#include <cstddef>
#include <cstring>
#include <functional>
#include <span>

#include "kernels/feedback_kernel.h"
#include "kernels/grid_kernel.h"
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

// The elements of one operand. Those of 8 bytes are doubles, of 4 floats, of 2 the bits of halves.
struct Operand {
  size_t element_bytes;
  int64_t count;
  bool written = false;
};

// Operands with unused bytes before, between and behind them. Each begins `offset` elements behind a multiple of 128
// bytes.
class Arena {
 public:
  Arena(const std::vector<Operand>& operands, int64_t offset, uint8_t filler) : operands_(operands) {
    size_t end = kGuard;
    for (const Operand& operand : operands) {
      begins_.push_back(end + static_cast<size_t>(offset) * operand.element_bytes);
      end = begins_.back() + bytes(operand);
      end += 2 * kGuard - end % kGuard;
    }
    storage_.assign(end + kGuard, std::byte{filler});
    base_ = storage_.data();
    while (reinterpret_cast<uintptr_t>(base_) % kGuard != 0) ++base_;
    for (size_t i = 0; i < operands.size(); ++i) fill(i);
    before_ = storage_;
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  template <class T>
  T* at(size_t i) {
    return reinterpret_cast<T*>(base_ + begins_[i]);
  }
  std::span<const std::byte> content(size_t i) const { return {base_ + begins_[i], bytes(operands_[i])}; }

  // Whether all bytes outside of the operands that may be written are what they were.
  bool only_outputs_changed() {
    for (size_t i = 0; i < operands_.size(); ++i) {
      if (!operands_[i].written) continue;
      const ptrdiff_t first = base_ - storage_.data() + static_cast<ptrdiff_t>(begins_[i]);
      std::copy_n(storage_.begin() + first, bytes(operands_[i]), before_.begin() + first);
    }
    return storage_ == before_;
  }

 private:
  static constexpr size_t kGuard = 128;
  static size_t bytes(const Operand& operand) { return static_cast<size_t>(operand.count) * operand.element_bytes; }

  // The same values in every arena of the same operands, none of them 0.
  void fill(size_t i) {
    Rng rng(1000 * test_seed() + i);
    for (int64_t k = 0; k < operands_[i].count; ++k) {
      const double value = std::copysign(0.1 + rng.uniform(), rng.normal());
      if (operands_[i].element_bytes == 8) at<double>(i)[k] = value;
      if (operands_[i].element_bytes == 4) at<float>(i)[k] = static_cast<float>(value);
      if (operands_[i].element_bytes == 2) at<uint16_t>(i)[k] = static_cast<uint16_t>(rng.below(65536));
    }
  }

  std::vector<Operand> operands_;
  std::vector<size_t> begins_;  // behind base_
  std::vector<std::byte> storage_, before_;
  std::byte* base_ = nullptr;
};

using Results = std::vector<double>;  // what a kernel returns beside its operands

struct Kernel {
  const char* name;
  std::function<std::vector<Operand>(int64_t)> operands;  // of a call of size n
  std::function<Results(Arena&, int64_t)> run;
  int64_t multiple = 1;  // sizes are multiples of it
};

constexpr size_t kFloat = sizeof(float), kDouble = sizeof(double), kHalf = sizeof(uint16_t);
constexpr int64_t kRows = 7, kDepth = 19, kWidth = 5;  // of the matrices

std::vector<Operand> half_operands(int64_t n) { return {{kHalf, n}, {kFloat, n, true}}; }
std::vector<Operand> in_place(int64_t n) { return {{kFloat, n, true}, {kFloat, n}}; }
std::vector<Operand> two_rows(int64_t n) { return {{kFloat, n}, {kFloat, n}}; }

template <auto kernel>
Results run_halves(Arena& a, int64_t n) {
  kernel(a.at<uint16_t>(0), a.at<float>(1), n);
  return {};
}

template <auto kernel>
Results run_in_place(Arena& a, int64_t n) {
  kernel(a.at<float>(0), a.at<float>(1), n);
  return {};
}

Results run_gemm(Arena& a, int64_t n) {
  gemm_tile(a.at<float>(0), kDepth, a.at<float>(1), n, a.at<float>(2), n, kRows, n, kDepth, 0);
  gemm_tile(a.at<float>(0), kDepth, a.at<float>(1), n, a.at<float>(3), n, kRows, n, kDepth, 1);
  return {};
}

Results run_softmax(Arena& a, int64_t n) {
  float max = 0.25f, sum = 1.5f;
  const float factor = softmax_tile(a.at<float>(0), n, &max, &sum);
  return {max, sum, factor};
}

Results run_feedback(Arena& a, int64_t lanes) {
  for (double* s = a.at<double>(3); s < a.at<double>(3) + kWidth * lanes; ++s) *s = std::fabs(*s);
  feedback_block({.lower = a.at<double>(0),
                  .stride = kWidth,
                  .width = kWidth,
                  .lanes = lanes,
                  .w = a.at<double>(1),
                  .f = a.at<double>(2),
                  .scale = a.at<double>(3),
                  .zero = a.at<double>(4),
                  .grid_stride = lanes,
                  .top = 15,
                  .error = a.at<double>(5),
                  .loss = a.at<double>(6)});
  return {};
}

const std::vector<Kernel> kKernels = {
    {"f16_to_f32", half_operands, run_halves<f16_to_f32>},
    {"bf16_to_f32", half_operands, run_halves<bf16_to_f32>},
    {"rms_norm",
     [](int64_t n) {
       return std::vector<Operand>{{kFloat, n}, {kFloat, n}, {kFloat, n, true}};
     },
     [](Arena& a, int64_t n) {
       rms_norm(a.at<float>(0), a.at<float>(1), 1e-6f, a.at<float>(2), n);
       return Results{};
     }},
    {"silu_mul", in_place, run_in_place<silu_mul>},
    {"gelu_tanh_mul", in_place, run_in_place<gelu_tanh_mul>},
    {"add", in_place, run_in_place<add>},
    {"scale", in_place,
     [](Arena& a, int64_t n) {
       scale(a.at<float>(0), -0.3f, n);
       return Results{};
     }},
    {"rope_half",
     [](int64_t n) {
       return std::vector<Operand>{{kFloat, 2 * n, true}, {kFloat, n}, {kFloat, n}};
     },
     [](Arena& a, int64_t n) {
       rope_half(a.at<float>(0), a.at<float>(1), a.at<float>(2), n);
       return Results{};
     }},
    {"gemm_tile",
     [](int64_t n) {
       return std::vector<Operand>{
           {kFloat, kRows * kDepth}, {kFloat, kDepth * n}, {kFloat, kRows * n, true}, {kFloat, kRows * n, true}};
     },
     run_gemm},
    {"softmax_tile", in_place, run_softmax},
    {"max_abs", two_rows, [](Arena& a, int64_t n) { return Results{max_abs(a.at<float>(0), n)}; }},
    {"log_sum_exp", two_rows, [](Arena& a, int64_t n) { return Results{log_sum_exp(a.at<float>(0), n)}; }},
    {"kl_divergence", two_rows,
     [](Arena& a, int64_t n) {
       return n == 0 ? Results{} : Results{kl_divergence(a.at<float>(0), a.at<float>(1), n)};
     }},
    {"grid_errors of some weights", two_rows,
     [](Arena& a, int64_t n) {
       const float scale = 0.1f, zero = 8;
       float error = 0;
       grid_errors(a.at<float>(0), a.at<float>(1), n, {&scale, &zero, 1}, 15, &error);
       return Results{error};
     }},
    {"grid_errors on some grids",
     [](int64_t n) {
       return std::vector<Operand>{{kFloat, n}, {kFloat, n}, {kFloat, n, true}};
     },
     [](Arena& a, int64_t n) {
       const float w[] = {0.5f, -0.25f}, importance[] = {1, 2};
       grid_errors(w, importance, 2, {a.at<float>(0), a.at<float>(1), n}, 15, a.at<float>(2));
       return Results{};
     }},
    {"feedback_block",
     [](int64_t n) {
       const Operand matrix{kDouble, kWidth * n};
       return std::vector<Operand>{{kDouble, kWidth * kWidth},  matrix, matrix,
                                   {kDouble, kWidth * n, true}, matrix, {kDouble, kWidth * n, true},
                                   {kDouble, n, true}};
     },
     run_feedback, kFeedbackLanes},
};

bool same_bits(const Results& a, const Results& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

class Range : public KernelTest {};
HESSE_FOR_EACH_TARGET(Range);

void check(const Kernel& kernel, int64_t n) {
  const std::vector<Operand> operands = kernel.operands(n);
  Arena reference(operands, 0, 0);
  const Results expected = kernel.run(reference, n);
  for (int64_t offset = 0; offset < kOffsets; ++offset) {
    for (const uint8_t filler : {uint8_t{0xFF}, uint8_t{0x7E}}) {  // NaN, and numbers as large as 1e37 or more
      SCOPED_TRACE(std::string(kernel.name) + ", n " + std::to_string(n) + ", offset " + std::to_string(offset));
      Arena arena(operands, offset, filler);
      const Results results = kernel.run(arena, n);
      ASSERT_TRUE(same_bits(results, expected));
      for (size_t i = 0; i < operands.size(); ++i) {
        const auto now = arena.content(i), then = reference.content(i);
        ASSERT_EQ(0, now.empty() ? 0 : std::memcmp(now.data(), then.data(), now.size())) << "operand " << i;
      }
      ASSERT_TRUE(arena.only_outputs_changed());
    }
  }
}

TEST_P(Range, PlaceAndSurroundingsDoNotMatterAndStayAsTheyAre) {
  for (const Kernel& kernel : kKernels) {
    for (const int64_t n : sizes()) {
      if (n % kernel.multiple == 0) check(kernel, n);
      if (HasFatalFailure()) return;
    }
  }
}

// The test above can fail: a kernel that reads or writes one element too many is caught.
TEST(KernelTesting, OneElementTooManyIsSeen) {
  const std::vector<Operand> operands = in_place(9);
  for (int64_t offset = 0; offset < kOffsets; ++offset) {
    Arena arena(operands, offset, 0xFF);
    scalar::add(arena.at<float>(0), arena.at<float>(1), 9);
    EXPECT_TRUE(arena.only_outputs_changed());
    arena.at<float>(0)[9] = 1;
    EXPECT_FALSE(arena.only_outputs_changed());
    Arena before(operands, offset, 0xFF);
    before.at<float>(0)[-1] = 1;
    EXPECT_FALSE(before.only_outputs_changed());
    Arena input(operands, offset, 0xFF);
    input.at<float>(1)[0] = 0;
    EXPECT_FALSE(input.only_outputs_changed());
    EXPECT_TRUE(std::isnan(scalar::log_sum_exp(input.at<float>(0), 10)));
  }
}

}  // namespace
}  // namespace hesse
