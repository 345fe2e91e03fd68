// Activations by themselves, layer norm, soft cap, products and the interleaved rotation: each against its scalar twin.
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class Activations : public KernelTest {};
HESSE_FOR_EACH_TARGET(Activations);

using InPlace = void (*)(float*, int64_t);
struct Pair {
  const char* name;
  InPlace kernel, twin;
};
const Pair kPairs[] = {{"silu", silu, scalar::silu},
                       {"gelu_tanh", gelu_tanh, scalar::gelu_tanh},
                       {"gelu", gelu, scalar::gelu},
                       {"relu", relu, scalar::relu},
                       {"quick_gelu", quick_gelu, scalar::quick_gelu}};

// The promise of gelu; the others stay far below it.
double tolerance(double x) { return (1e-7 + 4 * kUnit) * std::fabs(x) + kSmallest; }

TEST_P(Activations, EqualTheirTwins) {
  for (const Pair& pair : kPairs) {
    SCOPED_TRACE(pair.name);
    sweep([&](int64_t n, int64_t offset, Rng& rng) {
      const Row x(n, offset, rng, 4.0);
      Row out = x, twin = x;
      pair.kernel(out.data(), n);
      pair.twin(twin.data(), n);
      for (int64_t i = 0; i < n; ++i) EXPECT_WITHIN(out[i], twin[i], tolerance(x[i]));
    });
  }
}

TEST_P(Activations, AtTheExtremes) {
  const Floats extremes{0.0f,    -0.0f, 1e-45f, -1e-45f, 1e-38f, -1e-38f, 87.0f,  -87.0f, 104.0f, -104.0f, 128.0f,
                        -128.0f, 1e4f,  -1e4f,  1e30f,   -1e30f, 3e38f,   -3e38f, kInf,   -kInf,  kNaN};
  for (const Pair& pair : kPairs) {
    Floats out = extremes, twin = extremes;
    pair.kernel(out.data(), static_cast<int64_t>(out.size()));
    pair.twin(twin.data(), static_cast<int64_t>(twin.size()));
    for (size_t i = 0; i < extremes.size(); ++i) {
      SCOPED_TRACE(std::string(pair.name) + " " + std::to_string(extremes[i]));
      EXPECT_WITHIN(out[i], twin[i], tolerance(std::isfinite(extremes[i]) ? extremes[i] : 0));
    }
  }
}

// Published values, so that twin and kernel cannot be wrong together.
TEST_P(Activations, KnownValues) {
  const struct {
    InPlace kernel;
    double at_one, at_minus_two;
  } known[] = {{silu, 0.7310585786, -0.2384058440},
               {gelu_tanh, 0.8411919906, -0.0454023059},
               {gelu, 0.8413447461, -0.0455002639},
               {relu, 1, 0},
               {quick_gelu, 0.8457957659, -0.0643413769}};
  for (const auto& [kernel, at_one, at_minus_two] : known) {
    Row x(19, 0, 1.0f);
    x[7] = -2.0f;
    kernel(x.data(), 19);
    EXPECT_NEAR(x[0], at_one, 3e-7);
    EXPECT_NEAR(x[7], at_minus_two, 3e-7);
  }
}

TEST_P(Activations, SoftCapEqualsItsTwin) {
  for (const float cap : {0.5f, 30.0f, 50.0f}) {
    sweep([&](int64_t n, int64_t offset, Rng& rng) {
      const Row x(n, offset, rng, 2.0 * cap);
      Row out = x, twin = x;
      soft_cap(out.data(), cap, n);
      scalar::soft_cap(twin.data(), cap, n);
      for (int64_t i = 0; i < n; ++i) EXPECT_WITHIN(out[i], twin[i], 2e-7 * cap);
    });
  }
  Floats ends{kInf, -kInf, kNaN, 3e38f, -0.0f};
  soft_cap(ends.data(), 30.0f, 5);
  EXPECT_EQ(ends[0], 30.0f);
  EXPECT_EQ(ends[1], -30.0f);
  EXPECT_TRUE(std::isnan(ends[2]));
  EXPECT_EQ(ends[3], 30.0f);
  EXPECT_EQ(ends[4], 0.0f);
}

TEST_P(Activations, MultiplyEqualsItsTwinBitForBit) {
  sweep([](int64_t n, int64_t offset, Rng& rng) {
    const Row x(n, offset, rng), h(n, kOffsets - 1 - offset, rng);
    Row out = h, twin = h;
    multiply(out.data(), x.data(), n);
    scalar::multiply(twin.data(), x.data(), n);
    EXPECT_EQ(out.storage, twin.storage);
  });
}

// Everything is computed in double and rounded once; the sums of kernel and twin differ in their last bits, which a
// difference that nearly cancels may show.
TEST_P(Activations, LayerNormEqualsItsTwin) {
  sweep([](int64_t n, int64_t offset, Rng& rng) {
    const Row x(n, offset, rng, 5.0), w(n, kOffsets - 1 - offset, rng), b(n, offset, rng);
    for (const bool plain : {false, true}) {
      Row out(n + 1, offset, -7.0f), twin(n + 1, 0, -7.0f);
      const float *weight = plain ? nullptr : w.data(), *bias = plain ? nullptr : b.data();
      layer_norm(x.data(), weight, bias, 1e-5f, out.data(), n);
      scalar::layer_norm(x.data(), weight, bias, 1e-5f, twin.data(), n);
      for (int64_t i = 0; i <= n; ++i) EXPECT_WITHIN(out[i], twin[i], 2.01 * kUnit * std::fabs(twin[i]) + 1e-12);
    }
  });
}

// What all elements have in common does not matter, however large it is.
TEST_P(Activations, LayerNormTakesTheMeanOff) {
  Row x(64, 0, 0.0f), far = x, out = x, out_far = x;
  for (int64_t i = 0; i < 64; ++i) x[i] = static_cast<float>(i % 7), far[i] = x[i] + 1048576.0f;
  layer_norm(x.data(), nullptr, nullptr, 1e-5f, out.data(), 64);
  layer_norm(far.data(), nullptr, nullptr, 1e-5f, out_far.data(), 64);
  for (int64_t i = 0; i < 64; ++i) EXPECT_NEAR(out[i], out_far[i], 1e-6);
  layer_norm(x.data(), nullptr, nullptr, 1e-5f, x.data(), 64);
  EXPECT_EQ(x.storage, out.storage);  // in place
}

TEST_P(Activations, InterleavedRotationIsTheOtherOneInAnotherOrder) {
  sweep([](int64_t half, int64_t offset, Rng& rng) {
    const Row x(2 * half, offset, rng), cos(half, 0, rng), sin(half, kOffsets - 1 - offset, rng);
    Row out = x, twin = x, apart(2 * half, 0, 0.0f);
    for (int64_t i = 0; i < half; ++i) apart[i] = x[2 * i], apart[i + half] = x[2 * i + 1];
    rope_interleaved(out.data(), cos.data(), sin.data(), half);
    scalar::rope_interleaved(twin.data(), cos.data(), sin.data(), half);
    scalar::rope_half(apart.data(), cos.data(), sin.data(), half);
    for (int64_t i = 0; i < half; ++i) {
      const double re = std::fabs(x[2 * i]), im = std::fabs(x[2 * i + 1]);
      const double size = (re + im) * (std::fabs(cos[i]) + std::fabs(sin[i]));
      EXPECT_EQ(twin[2 * i], apart[i]);
      EXPECT_EQ(twin[2 * i + 1], apart[i + half]);
      EXPECT_WITHIN(out[2 * i], twin[2 * i], 3.01 * kUnit * size + kSmallest);
      EXPECT_WITHIN(out[2 * i + 1], twin[2 * i + 1], 3.01 * kUnit * size + kSmallest);
    }
  });
}

TEST_P(Activations, NaNIsNeverHidden) {
  for (const int64_t n : {1, 4, 17, 33}) {
    for (int64_t at = 0; at < n; ++at) {
      Row bad(2 * n, 0, 1.0f);
      const Row ones(2 * n, 0, 1.0f);
      bad[at] = kNaN;
      for (const Pair& pair : kPairs) {
        Row out = bad;
        pair.kernel(out.data(), n);
        EXPECT_TRUE(std::isnan(out[at])) << pair.name;
      }
      Row out = bad;
      multiply(out.data(), ones.data(), n);
      EXPECT_TRUE(std::isnan(out[at]));
      out = bad;
      rope_interleaved(out.data(), ones.data(), ones.data(), n);
      EXPECT_TRUE(std::isnan(out[at]));
      layer_norm(bad.data(), nullptr, nullptr, 1e-5f, out.data(), n);
      for (int64_t i = 0; i < n; ++i) EXPECT_TRUE(std::isnan(out[i]));
    }
  }
}

}  // namespace
}  // namespace hesse
