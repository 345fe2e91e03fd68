// Codes into 32-bit words and back, as the GPTQ formats store them: a little-endian bit stream, 32 codes in exactly
// `bits` words for every width (docs/FORMATS.md, "Packing").
#pragma once

#include <cstdint>

#include "base/matrix.h"

namespace hesse {

// Packs down the rows: codes [n, cols] -> words [n * bits / 32, cols], word row r of column c holding consecutive codes
// of column c, first code in the lowest bits. n * bits must be a multiple of 32 (3 bits: n a multiple of 32).
void pack_rows(MatrixView<const uint8_t> codes, int bits, MatrixView<uint32_t> words);
void unpack_rows(MatrixView<const uint32_t> words, int bits, MatrixView<uint8_t> codes);

// Packs along the columns: codes [rows, n] -> words [rows, n * bits / 32].
void pack_cols(MatrixView<const uint8_t> codes, int bits, MatrixView<uint32_t> words);
void unpack_cols(MatrixView<const uint32_t> words, int bits, MatrixView<uint8_t> codes);

}  // namespace hesse
