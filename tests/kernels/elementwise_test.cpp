// Norm, activation, rotation, sums: each against its scalar twin at all lengths and offsets, and what must always hold.
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class Elementwise : public KernelTest {};
HESSE_FOR_EACH_TARGET(Elementwise);

TEST_P(Elementwise, AddAndScaleEqualTheirTwinsBitForBit) {
  sweep([](int64_t n, int64_t offset, Rng& rng) {
    const Row x(n, offset, rng), h(n, kOffsets - 1 - offset, rng);
    Row sum = h, twin = h;
    add(sum.data(), x.data(), n);
    scalar::add(twin.data(), x.data(), n);
    EXPECT_EQ(sum.storage, twin.storage);
    scale(sum.data(), -0.3f, n);
    scalar::scale(twin.data(), -0.3f, n);
    EXPECT_EQ(sum.storage, twin.storage);
  });
}

// Roundings: the inverse root, two products; one in the twin.
TEST_P(Elementwise, RmsNormEqualsItsTwin) {
  sweep([](int64_t n, int64_t offset, Rng& rng) {
    const Row x(n, offset, rng, 5.0), w(n, kOffsets - 1 - offset, rng);
    Row out(n + 1, offset, -7.0f), twin(n + 1, 0, -7.0f);
    rms_norm(x.data(), w.data(), 1e-6f, out.data(), n);
    scalar::rms_norm(x.data(), w.data(), 1e-6f, twin.data(), n);
    for (int64_t i = 0; i <= n; ++i) EXPECT_WITHIN(out[i], twin[i], 4.01 * kUnit * std::fabs(twin[i]) + kSmallest);
  });
}

TEST_P(Elementwise, RmsNormHoldsItsErrorInLongRowsAndAtAnyMagnitude) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const double spread : {1e-30, 1e-3, 1.0, 1e4, 1e30}) {
    const Row x(16384, 0, rng, spread), w(16384, 0, rng);
    Row out(16384, 0, 0.0f), twin = out;
    rms_norm(x.data(), w.data(), 1e-12f, out.data(), 16384);
    scalar::rms_norm(x.data(), w.data(), 1e-12f, twin.data(), 16384);
    for (int64_t i = 0; i < 16384; ++i) {
      ASSERT_TRUE(within(out[i], twin[i], 4.01 * kUnit * std::fabs(twin[i]) + kSmallest)) << spread << " " << i;
    }
  }
}

TEST_P(Elementwise, RmsNormInPlaceAndIgnoresPowersOfTwo) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  Row x(77, 1, rng);
  const Row w(77, 0, rng);
  Row out(77, 0, 0.0f);
  rms_norm(x.data(), w.data(), 1e-30f, out.data(), 77);
  scale(x.data(), 1024.0f, 77);
  rms_norm(x.data(), w.data(), 1e-30f, x.data(), 77);
  for (int64_t i = 0; i < 77; ++i) EXPECT_EQ(x[i], out[i]);
}

TEST_P(Elementwise, RmsNormOfZerosIsZero) {
  Row x(33, 0, 0.0f);
  const Row w(33, 0, 2.0f);
  rms_norm(x.data(), w.data(), 1e-6f, x.data(), 33);
  EXPECT_EQ(x.storage, Floats(33, 0.0f));
}

// exp is good to 1 ulp = 2 units. x >= 0: that, its sum, the quotient, the product, the twin: 5 units at most, since
// e / (1 + e) <= 1/2. x < 0: 2 for e, 1 for its product, 2 for 1 + e, 3 more: 8. A subnormal e is off by kSmallest,
// times |x| <= 128.
double silu_tolerance(double result, double up) {
  return 8.01 * kUnit * std::fabs(result) + kSmallest * (130.0 * std::fabs(up) + 1.0);
}

TEST_P(Elementwise, SiluMulEqualsItsTwin) {
  sweep([](int64_t n, int64_t offset, Rng& rng) {
    const Row gate(n, offset, rng, 20.0), up(n, kOffsets - 1 - offset, rng);
    Row out = gate, twin = gate;
    silu_mul(out.data(), up.data(), n);
    scalar::silu_mul(twin.data(), up.data(), n);
    for (int64_t i = 0; i < n; ++i) EXPECT_WITHIN(out[i], twin[i], silu_tolerance(twin[i], up[i]));
  });
}

const Floats kExtremes{0.0f,  -0.0f,  1e-45f, -1e-45f, 1e-38f,  -1e-38f, 1e-7f,   -1e-7f,  87.0f,  -87.0f,
                       88.8f, -88.8f, -90.0f, 104.0f,  -104.0f, 128.0f,  -105.0f, -128.0f, 200.0f, -200.0f,
                       1e4f,  -1e4f,  1e30f,  -1e30f,  3e38f,   -3e38f,  kInf,    -kInf,   kNaN};

TEST_P(Elementwise, SiluMulAtTheExtremes) {
  const int64_t n = static_cast<int64_t>(kExtremes.size());
  for (const float up : {1.0f, -0.5f, 1e30f}) {
    const Row ups(n, 0, up);
    Floats out = kExtremes, twin = kExtremes;
    silu_mul(out.data(), ups.data(), n);
    scalar::silu_mul(twin.data(), ups.data(), n);
    for (size_t i = 0; i < kExtremes.size(); ++i) {
      SCOPED_TRACE(kExtremes[i]);
      EXPECT_WITHIN(out[i], twin[i], silu_tolerance(twin[i], up));
      EXPECT_EQ(std::isnan(out[i]), std::isnan(kExtremes[i]));
    }
  }
}

TEST_P(Elementwise, SiluMulKnownValues) {
  Row gate(19, 0, 0.0f);
  const Row up(19, 0, 5.0f);
  gate[1] = 1e30f, gate[2] = -200.0f, gate[3] = -kInf, gate[4] = kInf, gate[5] = kNaN;
  silu_mul(gate.data(), up.data(), 19);
  EXPECT_EQ(gate[0], 0.0f);
  EXPECT_EQ(gate[1], 5e30f);
  EXPECT_EQ(gate[2], 0.0f);
  EXPECT_EQ(gate[3], 0.0f);
  EXPECT_EQ(gate[4], kInf);
  EXPECT_TRUE(std::isnan(gate[5]));
}

// x / (1 + exp(-t)) as for silu, but t = x (a + b x^2) is rounded too: a, b, x^2, their sum and the product, 5 units of
// t at most, since both terms have one sign. For x >= 0 that hardly shows: t e / (1 + e) <= 0.28, 2 units. For x < 0 it
// is 5 |t| units of e, so far as e is not 0, which it is from |t| = 104.
double gelu_tolerance(double x, double result, double up) {
  const double t = std::min(104.0, std::fabs(1.5957691216 * (x + 0.044715 * x * x * x)));
  const double units = (x < 0) ? 8.01 + 5.01 * t : 10.01;
  return units * kUnit * std::fabs(result) + kSmallest * (130.0 * std::fabs(up) + 1.0);
}

TEST_P(Elementwise, GeluTanhMulEqualsItsTwin) {
  sweep([](int64_t n, int64_t offset, Rng& rng) {
    const Row gate(n, offset, rng, 4.0), up(n, kOffsets - 1 - offset, rng);
    Row out = gate, twin = gate;
    gelu_tanh_mul(out.data(), up.data(), n);
    scalar::gelu_tanh_mul(twin.data(), up.data(), n);
    for (int64_t i = 0; i < n; ++i) EXPECT_WITHIN(out[i], twin[i], gelu_tolerance(gate[i], twin[i], up[i]));
  });
}

TEST_P(Elementwise, GeluTanhMulAtTheExtremes) {
  const int64_t n = static_cast<int64_t>(kExtremes.size());
  for (const float up : {1.0f, -0.5f, 1e30f}) {
    const Row ups(n, 0, up);
    Floats out = kExtremes, twin = kExtremes;
    gelu_tanh_mul(out.data(), ups.data(), n);
    scalar::gelu_tanh_mul(twin.data(), ups.data(), n);
    for (size_t i = 0; i < kExtremes.size(); ++i) {
      SCOPED_TRACE(kExtremes[i]);
      EXPECT_WITHIN(out[i], twin[i], gelu_tolerance(kExtremes[i], twin[i], up));
      EXPECT_EQ(std::isnan(out[i]), std::isnan(kExtremes[i]));
    }
  }
}

// The formula as it is published, where the tanh of long double has digits left: 1 + tanh(u) cancels for u < 0.
TEST_P(Elementwise, GeluTanhMulEqualsThePublishedFormula) {
  const long double root = std::sqrt(2.0L / std::acos(-1.0L));
  const float one = 1.0f;
  for (int i = -6000; i <= 6000; ++i) {
    const float x = static_cast<float>(i) / 1000.0f;
    const long double wide = x;
    const long double exact = wide / 2 * (1 + std::tanh(root * (wide + 0.044715L * wide * wide * wide)));
    const double expected = static_cast<double>(exact);
    const double cancelled = std::fabs(x) * static_cast<double>(std::numeric_limits<long double>::epsilon());
    float out = x;
    gelu_tanh_mul(&out, &one, 1);
    ASSERT_TRUE(within(out, expected, gelu_tolerance(x, expected, 1.0) + cancelled)) << x;
  }
}

TEST_P(Elementwise, GeluTanhMulKnownValues) {
  Row gate(19, 0, 0.0f);
  const Row up(19, 0, 5.0f);
  gate[1] = 1e30f, gate[2] = -200.0f, gate[3] = -kInf, gate[4] = kInf, gate[5] = kNaN, gate[6] = 1.0f;
  gelu_tanh_mul(gate.data(), up.data(), 19);
  EXPECT_EQ(gate[0], 0.0f);
  EXPECT_EQ(gate[1], 5e30f);
  EXPECT_EQ(gate[2], 0.0f);
  EXPECT_EQ(gate[3], 0.0f);
  EXPECT_EQ(gate[4], kInf);
  EXPECT_TRUE(std::isnan(gate[5]));
  EXPECT_NEAR(gate[6], 5 * 0.8411919906, 1e-6);  // with erf: 0.8413447461
}

// An element's result does not depend on where in a vector, or in the rest, it stands.
TEST_P(Elementwise, PlaceDoesNotMatter) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Row gate(70, 0, rng, 10.0), up(70, 0, rng);
  for (const auto activate_and_mul : {silu_mul, gelu_tanh_mul}) {
    Row all = gate;
    activate_and_mul(all.data(), up.data(), 70);
    for (int64_t i = 0; i < 70; ++i) {
      float one = gate[i];
      activate_and_mul(&one, up.data() + i, 1);
      EXPECT_EQ(one, all[i]);
    }
  }
}

// One or two roundings of a product, one of the sum, one in the twin.
TEST_P(Elementwise, RopeEqualsItsTwin) {
  sweep([](int64_t half, int64_t offset, Rng& rng) {
    const Row x(2 * half, offset, rng), cos(half, 0, rng), sin(half, kOffsets - 1 - offset, rng);
    Row out = x, twin = x;
    rope_half(out.data(), cos.data(), sin.data(), half);
    scalar::rope_half(twin.data(), cos.data(), sin.data(), half);
    for (int64_t i = 0; i < half; ++i) {
      const double re = x[i], im = x[i + half];
      const double first = std::fabs(re * cos[i]) + std::fabs(im * sin[i]);
      const double second = std::fabs(im * cos[i]) + std::fabs(re * sin[i]);
      EXPECT_WITHIN(out[i], twin[i], 3.01 * kUnit * first + kSmallest);
      EXPECT_WITHIN(out[i + half], twin[i + half], 3.01 * kUnit * second + kSmallest);
    }
  });
}

TEST_P(Elementwise, RopeKeepsLengthsAndTurnsBack) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t half : {1, 20, 64}) {
    const Row x(2 * half, 0, rng);
    Row cos(half, 0, 0.0f), sin = cos, y = x;
    for (int64_t i = 0; i < half; ++i) {
      const double angle = 100.0 * rng.normal();
      cos[i] = static_cast<float>(std::cos(angle)), sin[i] = static_cast<float>(std::sin(angle));
    }
    rope_half(y.data(), cos.data(), sin.data(), half);
    for (int64_t i = 0; i < half; ++i) {
      // Rounding cosine and sine costs one unit, each result at most 3 of |re| + |im| <= 1.5 |length|.
      const double before = std::hypot(x[i], x[i + half]);
      EXPECT_WITHIN(std::hypot(y[i], y[i + half]), before, 8 * kUnit * before);
    }
    scale(sin.data(), -1.0f, half);
    rope_half(y.data(), cos.data(), sin.data(), half);
    for (int64_t i = 0; i < half; ++i) {
      const double length = std::hypot(x[i], x[i + half]);
      EXPECT_WITHIN(y[i], x[i], 16 * kUnit * length);
      EXPECT_WITHIN(y[i + half], x[i + half], 16 * kUnit * length);
    }
  }
}

TEST_P(Elementwise, MaxAbsEqualsItsTwin) {
  sweep([](int64_t n, int64_t offset, Rng& rng) {
    const Row x(n, offset, rng, std::exp(60.0 * rng.normal()));  // subnormal and infinite rows among them
    EXPECT_EQ(max_abs(x.data(), n), scalar::max_abs(x.data(), n));
  });
}

TEST_P(Elementwise, MaxAbsFindsTheCulpritAnywhere) {
  for (const int64_t n : {1, 5, 16, 33}) {
    for (int64_t at = 0; at < n; ++at) {
      for (const float culprit : {kNaN, -kNaN, kInf, -kInf}) {
        Row x(n, 1, 1.0f);
        x[at] = culprit;
        EXPECT_EQ(max_abs(x.data(), n), kInf) << at;
      }
      Row x(n, 1, -0.0f);
      x[at] = -1e-45f;
      EXPECT_EQ(max_abs(x.data(), n), 1e-45f);
    }
  }
}

TEST_P(Elementwise, NaNIsNeverHidden) {
  for (const int64_t n : {1, 4, 17, 33}) {
    for (int64_t at = 0; at < n; ++at) {
      Row bad(2 * n, 0, 1.0f);
      const Row ones(n, 0, 1.0f);
      bad[at] = kNaN;
      Row out = bad;
      add(out.data(), ones.data(), n);
      EXPECT_TRUE(std::isnan(out[at]));
      out = bad;
      scale(out.data(), 0.0f, n);
      EXPECT_TRUE(std::isnan(out[at]));
      for (const auto activate_and_mul : {silu_mul, gelu_tanh_mul}) {
        out = bad;
        activate_and_mul(out.data(), ones.data(), n);
        EXPECT_TRUE(std::isnan(out[at]));
        out = Row(n, 0, -1e9f);  // both are 0 here
        activate_and_mul(out.data(), bad.data(), n);
        EXPECT_TRUE(std::isnan(out[at]));
      }
      out = bad;
      rope_half(out.data(), ones.data(), ones.data(), n);
      EXPECT_TRUE(std::isnan(out[at]) && std::isnan(out[at + n]));
      rms_norm(bad.data(), ones.data(), 1e-6f, out.data(), n);
      for (int64_t i = 0; i < n; ++i) EXPECT_TRUE(std::isnan(out[i]));
    }
  }
}

}  // namespace
}  // namespace hesse
