#include "quant/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr int kWidths[] = {2, 3, 4, 8};

// The smallest number of codes that fills whole words.
int64_t step(int bits) { return bits == 3 ? 32 : 32 / bits; }

Matrix<uint8_t> random_codes(int64_t rows, int64_t cols, int bits, Rng& rng) {
  Matrix<uint8_t> codes(rows, cols);
  for (int64_t i = 0; i < codes.size(); ++i) codes.data()[i] = static_cast<uint8_t>(rng.below(1u << bits));
  return codes;
}

template <class T>
Matrix<T> transposed(const Matrix<T>& m) {
  Matrix<T> t(m.cols(), m.rows());
  for (int64_t r = 0; r < m.rows(); ++r) {
    for (int64_t c = 0; c < m.cols(); ++c) t(c, r) = m(r, c);
  }
  return t;
}

template <class T>
std::vector<T> flat(const Matrix<T>& m) {
  return {m.data(), m.data() + m.size()};
}

Matrix<uint32_t> packed_cols(const Matrix<uint8_t>& codes, int bits) {
  Matrix<uint32_t> words(codes.rows(), packed_words(codes.cols(), bits));
  pack_cols(codes.view(), bits, words.view());
  return words;
}

Matrix<uint32_t> packed_rows(const Matrix<uint8_t>& codes, int bits) {
  Matrix<uint32_t> words(packed_words(codes.rows(), bits), codes.cols());
  pack_rows(codes.view(), bits, words.view());
  return words;
}

std::vector<uint32_t> pack_vector(const std::vector<uint8_t>& codes, int bits) {
  Matrix<uint8_t> row(1, static_cast<int64_t>(codes.size()));
  std::copy(codes.begin(), codes.end(), row.data());
  return flat(packed_cols(row, bits));
}

std::vector<uint8_t> repeat(int count, const std::function<int(int)>& value) {
  std::vector<uint8_t> codes;
  for (int k = 0; k < count; ++k) codes.push_back(static_cast<uint8_t>(value(k)));
  return codes;
}

using Words = std::vector<uint32_t>;

TEST(Pack, GoldenWords) {
  EXPECT_EQ(pack_vector({0, 1, 2, 3, 4, 5, 6, 7}, 4), Words{0x76543210});
  EXPECT_EQ(pack_vector({8, 9, 10, 11, 12, 13, 14, 15}, 4), Words{0xFEDCBA98});
  EXPECT_EQ(pack_vector({3, 12, 0, 15, 7, 8, 1, 14}, 4), Words{0xE187F0C3});
  EXPECT_EQ(pack_vector({0, 1, 127, 128}, 8), Words{0x807F0100});
  EXPECT_EQ(pack_vector({1, 2, 3, 255}, 8), Words{0xFF030201});
  EXPECT_EQ(pack_vector(repeat(16, [](int k) { return k % 4; }), 2), Words{0xE4E4E4E4});
  EXPECT_EQ(pack_vector(repeat(16, [](int k) { return k == 0 ? 3 : k == 15 ? 1 : 0; }), 2), Words{0x40000003});
}

TEST(Pack, GoldenWordsOfThreeBits) {
  EXPECT_EQ(pack_vector(repeat(32, [](int k) { return k % 8; }), 3), (Words{0x88FAC688, 0xC688FAC6, 0xFAC688FA}));
  EXPECT_EQ(pack_vector(repeat(32, [](int k) { return (5 * k + 3) % 8; }), 3),
            (Words{0x43C67543, 0x7543C675, 0xC67543C6}));
  EXPECT_EQ(pack_vector(repeat(32, [](int k) { return k == 10 || k == 21 ? 7 : 0; }), 3),
            (Words{0xC0000000, 0x80000001, 0x00000003}));
  EXPECT_EQ(pack_vector(repeat(32, [](int k) { return k == 10   ? 5
                                                      : k == 21 ? 6
                                                                : 0; }), 3),
            (Words{0x40000000, 0x00000001, 0x00000003}));
}

TEST(Pack, GoldenZeroPoints) {
  const auto constant = [](int value) { return repeat(32, [=](int) { return value; }); };
  EXPECT_EQ(pack_vector(constant(2), 2), Words(2, 0xAAAAAAAA));
  EXPECT_EQ(pack_vector(constant(1), 2), Words(2, 0x55555555));
  EXPECT_EQ(pack_vector(constant(4), 3), (Words{0x24924924, 0x49249249, 0x92492492}));
  EXPECT_EQ(pack_vector(constant(3), 3), (Words{0xDB6DB6DB, 0xB6DB6DB6, 0x6DB6DB6D}));
  EXPECT_EQ(pack_vector(constant(8), 4), Words(4, 0x88888888));
  EXPECT_EQ(pack_vector(constant(7), 4), Words(4, 0x77777777));
  EXPECT_EQ(pack_vector(constant(128), 8), Words(8, 0x80808080));
  EXPECT_EQ(pack_vector(constant(127), 8), Words(8, 0x7F7F7F7F));
  EXPECT_EQ(pack_vector({8, 7, 1, 15, 5, 9, 2, 14}, 4), Words{0xE295F178});
  EXPECT_EQ(pack_vector({7, 6, 0, 14, 4, 8, 1, 13}, 4), Words{0xD184E067});
}

// in = 64 inputs down the rows, out = 32: the codes of docs/FORMATS.md, "Golden vectors".
Matrix<uint8_t> golden_codes(int bits) {
  Matrix<uint8_t> codes(64, 32);
  for (int i = 0; i < 64; ++i) {
    for (int o = 0; o < 32; ++o) codes(i, o) = static_cast<uint8_t>((7 * i + 3 * o + (i * o % 5)) % (1 << bits));
  }
  return codes;
}

std::string digest(const Matrix<uint32_t>& words) {
  Sha256 sha;
  sha.update(words.data(), static_cast<size_t>(words.size()) * sizeof(uint32_t));
  return sha.hex();
}

struct Golden {
  int bits;
  Words first, last;  // of the words packed down the rows
  const char* rows_digest;
  const char* cols_digest;  // of the transposed codes packed along the columns; nullptr: not known
};

const Golden kGolden[] = {
    {4,
     {0x1A3C5E70, 0x6E63B3B3, 0xB295C8F6, 0xB6C72839},
     {0x17283E4F, 0x2C6B5F93, 0x3C5E7092, 0x9191E6E6},
     "a8416f174b6179e63ddf0a3e9eaa49eeb95311cf2e46506df669200d5b1e7936",
     "e516d0c36c030fc62fdd4d1e6a73e0e2a6ad1c0b43a0747d279dc52282f0bbff"},
    {8,
     {0x150E0700, 0x1B130B03, 0x1C180F06, 0x22181309},
     {0x110702F8, 0x120C06FB, 0x130C05FE, 0x19110901},
     "a5303658f08187bc6e0b57fb12fe5e2ec6937a7ca78cdf87306c636dc8d9baac",
     "e6aa4ff8cb7e5820c429d388d7d2a84917f1bacfb2a4ab4fea7b340186e661f3"},
    {3,
     {0xB829CBB8, 0x76DB36DB, 0x0768D83E, 0xD57A7419},
     {0x3D07A7A1, 0x533BCB0A, 0x72EE0A72, 0x249DB6CD},
     "46b342537e061ee4bd73e3237620f750a0a070bbf2dbcff0bc45651322eb83d1",
     nullptr},
    {2,
     {0x6C6C6C6C, 0x155AABFF, 0xFA43E50E, 0x9279E38D},
     {0x78E34D24, 0x8B77221D, 0xC6C6C6C6, 0x55AABFF0},
     "5ae723a4dd3df0e8a78ecb9dc6e851fe0604e9bac2d6c34850fb8e8b4dacd428",
     nullptr},
};

TEST(Pack, GoldenMatrices) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.bits);
    const Matrix<uint8_t> codes = golden_codes(golden.bits);
    const Matrix<uint32_t> words = packed_rows(codes, golden.bits);
    const Words all = flat(words);
    EXPECT_EQ(Words(all.begin(), all.begin() + 4), golden.first);
    EXPECT_EQ(Words(all.end() - 4, all.end()), golden.last);
    EXPECT_EQ(digest(words), golden.rows_digest);
    if (golden.cols_digest != nullptr) {
      EXPECT_EQ(digest(packed_cols(transposed(codes), golden.bits)), golden.cols_digest);
    }
  }
}

TEST(Pack, UnpackingReturnsTheCodesAndAllDirectionsAgree) {
  const uint64_t seed = 20240601u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  for (const int bits : kWidths) {
    for (const int64_t lanes : {0, 1, 15, 16, 17, 333}) {
      for (const int64_t steps : {0, 1, 2, 3, 7, 33}) {
        SCOPED_TRACE(testing::Message() << bits << " bits, " << lanes << " lanes of " << steps << " steps");
        const int64_t n = steps * step(bits);
        const Matrix<uint8_t> codes = random_codes(lanes, n, bits, rng);
        const Matrix<uint32_t> words = packed_cols(codes, bits);

        Matrix<uint8_t> back(lanes, n);
        unpack_cols(words.view(), bits, back.view());
        ASSERT_EQ(flat(back), flat(codes));

        const Matrix<uint32_t> down = packed_rows(transposed(codes), bits);
        ASSERT_EQ(flat(down), flat(transposed(words)));
        Matrix<uint8_t> back_down(n, lanes);
        unpack_rows(down.view(), bits, back_down.view());
        ASSERT_EQ(flat(transposed(back_down)), flat(codes));

        Matrix<uint32_t> direct(down.rows(), down.cols());
        pack_cols_transposed(codes.view(), bits, direct.view());
        ASSERT_EQ(flat(direct), flat(down));
        Matrix<uint8_t> back_direct(lanes, n);
        unpack_cols_transposed(direct.view(), bits, back_direct.view());
        ASSERT_EQ(flat(back_direct), flat(codes));
      }
    }
  }
}

// The definition of the packing, spelled out bit by bit.
TEST(Pack, CodeKStandsAtBitBitsTimesK) {
  Rng rng(7);
  for (const int bits : kWidths) {
    const Matrix<uint8_t> codes = random_codes(1, 64, bits, rng);
    const Matrix<uint32_t> words = packed_cols(codes, bits);
    for (int bit = 0; bit < 64 * bits; ++bit) {
      const uint32_t expected = static_cast<uint32_t>(codes.data()[bit / bits]) >> (bit % bits) & 1u;
      ASSERT_EQ(words.data()[bit / 32] >> (bit % 32) & 1u, expected) << bits << " bits, bit " << bit;
    }
  }
}

TEST(Pack, ViewsWithAStrideTouchNothingBesideThem) {
  Rng rng(8);
  for (const int bits : kWidths) {
    const Matrix<uint8_t> all = random_codes(40, 96, bits, rng);
    const MatrixView<const uint8_t> codes = all.view().block(3, 16, 32, 64);
    Matrix<uint8_t> dense(32, 64);
    for (int64_t r = 0; r < 32; ++r) std::copy_n(codes.row(r), 64, dense.row(r));

    Matrix<uint32_t> frame(70, 70);
    std::fill_n(frame.data(), frame.size(), 0xDEADBEEFu);
    const MatrixView<uint32_t> words = frame.view().block(2, 3, packed_words(32, bits), 64);
    pack_rows(codes, bits, words);
    const Matrix<uint32_t> expected = packed_rows(dense, bits);
    int64_t outside = 0;
    for (int64_t i = 0; i < frame.size(); ++i) outside += frame.data()[i] == 0xDEADBEEFu ? 1 : 0;
    EXPECT_GE(outside, frame.size() - expected.size());
    for (int64_t r = 0; r < expected.rows(); ++r) {
      for (int64_t c = 0; c < expected.cols(); ++c) ASSERT_EQ(words(r, c), expected(r, c));
    }
  }
}

TEST(Pack, DoesNotDependOnTheNumberOfThreads) {
  Rng rng(9);
  const Matrix<uint8_t> codes = random_codes(500, 640, 3, rng);
  const auto run = [&](int count) {
    set_threads(count);
    Matrix<uint32_t> words(60, 500);
    pack_cols_transposed(codes.view(), 3, words.view());
    set_threads(0);
    return flat(words);
  };
  EXPECT_EQ(run(1), run(4));
}

TEST(Pack, SizesThatDoNotFitAreRefused) {
  const auto message = [](int64_t codes, int64_t words, int bits) -> std::string {
    const Matrix<uint8_t> from = Matrix<uint8_t>::zeros(2, codes);
    Matrix<uint32_t> to(2, words);
    try {
      pack_cols(from.view(), bits, to.view());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInternal);
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message(8, 1, 4), "no error");
  EXPECT_THAT(message(8, 1, 5), testing::HasSubstr("5 bits"));
  EXPECT_THAT(message(9, 1, 4), testing::HasSubstr("9 codes of 4 bits"));
  EXPECT_THAT(message(16, 1, 3), testing::HasSubstr("16 codes of 3 bits"));
  EXPECT_THAT(message(8, 2, 4), testing::HasSubstr("2 x 2 words"));
}

}  // namespace
}  // namespace hesse
