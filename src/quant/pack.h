// Codes into 32-bit words and back, as the GPTQ formats store them: a little-endian bit stream, 32 codes in exactly
// `bits` words for every width (docs/FORMATS.md, "Packing"). Work is shared between threads; the result does not depend
// on their number. Sizes that do not fit each other and widths other than 2, 3, 4 and 8 are Error(kInternal).
#pragma once

#include <cstdint>

#include "base/matrix.h"

namespace hesse {

// How many words hold `count` codes; count * bits must be a multiple of 32.
constexpr int64_t packed_words(int64_t count, int bits) { return count * bits / 32; }

// Packs down the rows: codes [n, cols] -> words [n * bits / 32, cols], word row r of column c holding consecutive codes
// of column c, first code in the lowest bits. n * bits must be a multiple of 32 (3 bits: n a multiple of 32). Codes
// must be below 2^bits. `words` is overwritten.
void pack_rows(MatrixView<const uint8_t> codes, int bits, MatrixView<uint32_t> words);
void unpack_rows(MatrixView<const uint32_t> words, int bits, MatrixView<uint8_t> codes);

// Packs along the columns: codes [rows, n] -> words [rows, n * bits / 32]. The rest as above.
void pack_cols(MatrixView<const uint8_t> codes, int bits, MatrixView<uint32_t> words);
void unpack_cols(MatrixView<const uint32_t> words, int bits, MatrixView<uint8_t> codes);

// pack_cols and a transposition in one pass: codes [rows, n] -> words [n * bits / 32, rows]. The same words as
// pack_rows of the transposed codes.
void pack_cols_transposed(MatrixView<const uint8_t> codes, int bits, MatrixView<uint32_t> words);
void unpack_cols_transposed(MatrixView<const uint32_t> words, int bits, MatrixView<uint8_t> codes);

}  // namespace hesse
