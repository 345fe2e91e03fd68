// Speed of packing codes into words and back, all threads. Bytes/s count what is read and what is written.
#include <algorithm>
#include <cstring>

#include "bench.h"
#include "quant/pack.h"

namespace hesse {
namespace {

constexpr int64_t kOut = 4096, kIn = 4096;

Matrix<uint8_t> random_codes(int bits) {
  Matrix<uint8_t> codes(kOut, kIn);
  parallel_for(kOut, [&](int64_t r) {
    Rng rng(static_cast<uint64_t>(r));
    for (int64_t c = 0; c < kIn; ++c) codes(r, c) = static_cast<uint8_t>(rng.below(uint64_t{1} << bits));
  });
  return codes;
}

bool equal(const Matrix<uint8_t>& a, const Matrix<uint8_t>& b) {
  return std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size())) == 0;
}

enum class Direction { kPack, kUnpack };

// Argument bits. The layout of the GPTQ formats: codes [out, in], words [in * bits / 32, out].
void run_packing(benchmark::State& state, Direction direction) {
  const int bits = static_cast<int>(state.range(0));
  const Matrix<uint8_t> codes = random_codes(bits);
  Matrix<uint8_t> back = Matrix<uint8_t>::zeros(kOut, kIn);
  Matrix<uint32_t> words(packed_words(kIn, bits), kOut);
  pack_cols_transposed(codes.view(), bits, words.view());
  for (auto _ : state) {
    if (direction == Direction::kPack) pack_cols_transposed(codes.view(), bits, words.view());
    if (direction == Direction::kUnpack) unpack_cols_transposed(words.view(), bits, back.view());
    benchmark::ClobberMemory();
  }
  unpack_cols_transposed(words.view(), bits, back.view());
  if (!equal(codes, back)) return state.SkipWithError("other codes came back");
  state.SetBytesProcessed(state.iterations() * (codes.size() + 4 * words.size()));
}

void BM_pack(benchmark::State& state) { run_packing(state, Direction::kPack); }
void BM_unpack(benchmark::State& state) { run_packing(state, Direction::kUnpack); }
BENCHMARK(BM_pack)->ArgName("bits")->Arg(2)->Arg(3)->Arg(4)->Arg(8)->Apply(all_threads);
BENCHMARK(BM_unpack)->ArgName("bits")->Arg(2)->Arg(3)->Arg(4)->Arg(8)->Apply(all_threads);

}  // namespace
}  // namespace hesse

int main(int argc, char** argv) { return hesse::run_benchmarks(argc, argv); }
