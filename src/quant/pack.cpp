#include "quant/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr int64_t kBlock = 32;  // codes that fill whole words at every width

// Codes that make a task worth a thread; smaller matrices are done by the caller's.
constexpr int64_t kTask = 1 << 15;

// Transposed rows that one task takes: their words lie side by side and fill one cache line of 64 bytes.
constexpr int64_t kStrip = 16;

void check_sizes(int64_t codes, int64_t words, int64_t lanes_of_codes, int64_t lanes_of_words, int bits) {
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8) {
    throw Error(ErrorKind::kInternal, fmt::format("[pack] {} bits, known are 2, 3, 4 and 8", bits));
  }
  if (codes * bits % 32 != 0) {
    throw Error(ErrorKind::kInternal, fmt::format("[pack] {} codes of {} bits do not fill whole words", codes, bits));
  }
  if (words != packed_words(codes, bits) || lanes_of_codes != lanes_of_words) {
    throw Error(ErrorKind::kInternal, fmt::format("[pack] {} x {} codes of {} bits do not belong to {} x {} words",
                                                  codes, lanes_of_codes, bits, words, lanes_of_words));
  }
}

// body(i) for every i in [0, count), each of which handles `codes_each` codes.
template <class Body>
void for_each(int64_t count, int64_t codes_each, const Body& body) {
  const int64_t at_once = std::max<int64_t>(1, kTask / std::max<int64_t>(1, codes_each));
  parallel_for(ceil_div(count, at_once), [&](int64_t task) {
    const int64_t last = std::min((task + 1) * at_once, count);
    for (int64_t i = task * at_once; i < last; ++i) body(i);
  });
}

// `n` codes side by side into words side by side.
template <int kBits>
void pack_run(const uint8_t* codes, int64_t n, uint32_t* words) {
  uint64_t pending = 0;
  int filled = 0;  // bits in pending
  for (int64_t i = 0; i < n; ++i) {
    pending |= static_cast<uint64_t>(codes[i]) << filled;
    filled += kBits;
    if (filled >= 32) {
      *words++ = static_cast<uint32_t>(pending);
      pending >>= 32;
      filled -= 32;
    }
  }
}

template <int kBits>
void unpack_run(const uint32_t* words, int64_t n, uint8_t* codes) {
  uint64_t pending = 0;
  int filled = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (filled < kBits) {
      pending |= static_cast<uint64_t>(*words++) << filled;
      filled += 32;
    }
    codes[i] = static_cast<uint8_t>(pending & ((1u << kBits) - 1));
    pending >>= kBits;
    filled -= kBits;
  }
}

using PackRun = void (*)(const uint8_t*, int64_t, uint32_t*);
using UnpackRun = void (*)(const uint32_t*, int64_t, uint8_t*);

PackRun pack_run_of(int bits) {
  return (bits == 2) ? pack_run<2> : (bits == 3) ? pack_run<3> : (bits == 4) ? pack_run<4> : pack_run<8>;
}
UnpackRun unpack_run_of(int bits) {
  return (bits == 2) ? unpack_run<2> : (bits == 3) ? unpack_run<3> : (bits == 4) ? unpack_run<4> : unpack_run<8>;
}

}  // namespace

// Row by row through the codes, so that the inner loop runs along memory in both matrices.
void pack_rows(MatrixView<const uint8_t> codes, int bits, MatrixView<uint32_t> words) {
  check_sizes(codes.rows, words.rows, codes.cols, words.cols, bits);
  for_each(ceil_div(codes.rows, kBlock), kBlock * codes.cols, [&](int64_t block) {
    const int64_t first_word = block * bits;
    const int64_t last_word = std::min(first_word + bits, words.rows);
    for (int64_t r = first_word; r < last_word; ++r) std::fill_n(words.row(r), words.cols, 0u);
    const int64_t last_code = std::min((block + 1) * kBlock, codes.rows);
    for (int64_t k = block * kBlock; k < last_code; ++k) {
      const uint8_t* in = codes.row(k);
      const int64_t bit = k * bits;
      const int shift = static_cast<int>(bit % 32);
      uint32_t* low = words.row(bit / 32);
      for (int64_t c = 0; c < codes.cols; ++c) low[c] |= static_cast<uint32_t>(in[c]) << shift;
      if (shift + bits > 32) {
        uint32_t* high = words.row(bit / 32 + 1);
        for (int64_t c = 0; c < codes.cols; ++c) high[c] |= static_cast<uint32_t>(in[c]) >> (32 - shift);
      }
    }
  });
}

void unpack_rows(MatrixView<const uint32_t> words, int bits, MatrixView<uint8_t> codes) {
  check_sizes(codes.rows, words.rows, codes.cols, words.cols, bits);
  const uint32_t mask = (1u << bits) - 1;
  for_each(codes.rows, codes.cols, [&](int64_t k) {
    uint8_t* out = codes.row(k);
    const int64_t bit = k * bits;
    const int shift = static_cast<int>(bit % 32);
    const uint32_t* low = words.row(bit / 32);
    if (shift + bits <= 32) {
      for (int64_t c = 0; c < codes.cols; ++c) out[c] = static_cast<uint8_t>(low[c] >> shift & mask);
      return;
    }
    const uint32_t* high = words.row(bit / 32 + 1);
    for (int64_t c = 0; c < codes.cols; ++c) {
      out[c] = static_cast<uint8_t>((low[c] >> shift | high[c] << (32 - shift)) & mask);
    }
  });
}

void pack_cols(MatrixView<const uint8_t> codes, int bits, MatrixView<uint32_t> words) {
  check_sizes(codes.cols, words.cols, codes.rows, words.rows, bits);
  const PackRun run = pack_run_of(bits);
  for_each(codes.rows, codes.cols, [&](int64_t r) { run(codes.row(r), codes.cols, words.row(r)); });
}

void unpack_cols(MatrixView<const uint32_t> words, int bits, MatrixView<uint8_t> codes) {
  check_sizes(codes.cols, words.cols, codes.rows, words.rows, bits);
  const UnpackRun run = unpack_run_of(bits);
  for_each(codes.rows, codes.cols, [&](int64_t r) { run(words.row(r), codes.cols, codes.row(r)); });
}

// A strip of rows is packed into a small buffer that stays in cache and leaves it one whole cache line at a time.
void pack_cols_transposed(MatrixView<const uint8_t> codes, int bits, MatrixView<uint32_t> words) {
  check_sizes(codes.cols, words.rows, codes.rows, words.cols, bits);
  const PackRun run = pack_run_of(bits);
  for_each(ceil_div(codes.rows, kStrip), kStrip * codes.cols, [&](int64_t strip) {
    const int64_t first = strip * kStrip;
    const int64_t count = std::min(kStrip, codes.rows - first);
    std::vector<uint32_t> buffer(static_cast<size_t>(count * words.rows));  // [count, words of a row]
    for (int64_t j = 0; j < count; ++j) run(codes.row(first + j), codes.cols, buffer.data() + j * words.rows);
    for (int64_t r = 0; r < words.rows; ++r) {
      uint32_t* out = words.row(r) + first;
      for (int64_t j = 0; j < count; ++j) out[j] = buffer[static_cast<size_t>(j * words.rows + r)];
    }
  });
}

void unpack_cols_transposed(MatrixView<const uint32_t> words, int bits, MatrixView<uint8_t> codes) {
  check_sizes(codes.cols, words.rows, codes.rows, words.cols, bits);
  const UnpackRun run = unpack_run_of(bits);
  for_each(ceil_div(codes.rows, kStrip), kStrip * codes.cols, [&](int64_t strip) {
    const int64_t first = strip * kStrip;
    const int64_t count = std::min(kStrip, codes.rows - first);
    std::vector<uint32_t> buffer(static_cast<size_t>(count * words.rows));  // [count, words of a row]
    for (int64_t r = 0; r < words.rows; ++r) {
      const uint32_t* in = words.row(r) + first;
      for (int64_t j = 0; j < count; ++j) buffer[static_cast<size_t>(j * words.rows + r)] = in[j];
    }
    for (int64_t j = 0; j < count; ++j) run(buffer.data() + j * words.rows, codes.cols, codes.row(first + j));
  });
}

}  // namespace hesse
