// Speed of the kernels, one core. BM_peak measures on the spot what the processor can do: fused multiply-adds on
// registers alone; the FLOP/s of gemm_tile divided by it is the share of peak. This file is compiled once per
// instruction set (Highway), all but BM_peak under HWY_ONCE.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "bench.h"
#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "../bench/kernels_bench.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Twelve sums hide the latency of the unit; they differ, else the compiler would compute one only. data has 14
// elements: factor, starts, result. Returns the operations done.
double multiply_adds(int64_t steps, float* data) {
  const hn::ScalableTag<float> d;
  const auto f = hn::Set(d, data[0]);
  auto a = hn::Set(d, data[1]), b = hn::Set(d, data[2]), c = hn::Set(d, data[3]), e = hn::Set(d, data[4]);
  auto g = hn::Set(d, data[5]), h = hn::Set(d, data[6]), i = hn::Set(d, data[7]), j = hn::Set(d, data[8]);
  auto k = hn::Set(d, data[9]), l = hn::Set(d, data[10]), m = hn::Set(d, data[11]), n = hn::Set(d, data[12]);
  for (int64_t step = 0; step < steps; ++step) {
    a = hn::MulAdd(a, f, f), b = hn::MulAdd(b, f, f), c = hn::MulAdd(c, f, f), e = hn::MulAdd(e, f, f);
    g = hn::MulAdd(g, f, f), h = hn::MulAdd(h, f, f), i = hn::MulAdd(i, f, f), j = hn::MulAdd(j, f, f);
    k = hn::MulAdd(k, f, f), l = hn::MulAdd(l, f, f), m = hn::MulAdd(m, f, f), n = hn::MulAdd(n, f, f);
  }
  const auto first = hn::Add(hn::Add(a, b), hn::Add(c, e)), second = hn::Add(hn::Add(g, h), hn::Add(i, j));
  const auto third = hn::Add(hn::Add(k, l), hn::Add(m, n));
  data[13] = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(first, second), third)));
  return 2.0 * 12.0 * static_cast<double>(steps) * static_cast<double>(hn::Lanes(d));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hesse {

HWY_EXPORT(multiply_adds);

namespace {

std::vector<float> random_floats(int64_t n) {
  Rng rng(1);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

void report_rate(benchmark::State& state, double flops) {
  state.counters["FLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
  state.SetLabel(simd_target());
}

void report_elements(benchmark::State& state, int64_t n) {
  state.SetItemsProcessed(state.iterations() * n);
  state.SetLabel(simd_target());
}

void BM_peak(benchmark::State& state) {
  float data[14] = {0.5f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0};
  double flops = 0;
  for (auto _ : state) {
    flops += HWY_DYNAMIC_DISPATCH(multiply_adds)(1000, data);
    benchmark::DoNotOptimize(data);
  }
  report_rate(state, flops);
}
BENCHMARK(BM_peak);

// Arguments m, n, k.
void run_gemm_tile(benchmark::State& state, decltype(gemm_tile)* gemm) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const std::vector<float> a = random_floats(m * k), b = random_floats(k * n);
  std::vector<float> c(static_cast<size_t>(m * n));
  for (auto _ : state) {
    gemm(a.data(), k, b.data(), n, c.data(), n, m, n, k, 0);
    benchmark::ClobberMemory();
  }
  report_rate(state, 2.0 * static_cast<double>(m * n * k) * static_cast<double>(state.iterations()));
}
void BM_gemm_tile(benchmark::State& state) { run_gemm_tile(state, gemm_tile); }
void BM_gemm_tile_scalar(benchmark::State& state) { run_gemm_tile(state, scalar::gemm_tile); }
BENCHMARK(BM_gemm_tile)
    ->Args({64, 64, 64})    // small heads
    ->Args({64, 128, 128})  // scores: 64 queries, 128 keys, head of 128
    ->Args({64, 128, 256})  // scores: head of 256
    ->Args({64, 256, 128})  // values: head of 256
    ->Args({32, 128, 128})
    ->Args({61, 61, 64})   // remainders everywhere
    ->Args({1, 128, 128})  // generation: one query
    ->Args({4, 5, 64});    // a short prompt
BENCHMARK(BM_gemm_tile_scalar)->Args({64, 64, 64});

void BM_f16_to_f32(benchmark::State& state) {
  const std::vector<uint16_t> in(static_cast<size_t>(state.range(0)), uint16_t{0x3555});
  std::vector<float> out(in.size());
  for (auto _ : state) {
    f16_to_f32(in.data(), out.data(), state.range(0));
    benchmark::ClobberMemory();
  }
  report_elements(state, state.range(0));
}
BENCHMARK(BM_f16_to_f32)->Arg(4096);

void BM_bf16_to_f32(benchmark::State& state) {
  const std::vector<uint16_t> in(static_cast<size_t>(state.range(0)), uint16_t{0x3F80});
  std::vector<float> out(in.size());
  for (auto _ : state) {
    bf16_to_f32(in.data(), out.data(), state.range(0));
    benchmark::ClobberMemory();
  }
  report_elements(state, state.range(0));
}
BENCHMARK(BM_bf16_to_f32)->Arg(4096);

void BM_rms_norm(benchmark::State& state) {
  const std::vector<float> x = random_floats(state.range(0)), weight = random_floats(state.range(0));
  std::vector<float> out(x.size());
  for (auto _ : state) {
    rms_norm(x.data(), weight.data(), 1e-6f, out.data(), state.range(0));
    benchmark::ClobberMemory();
  }
  report_elements(state, state.range(0));
}
BENCHMARK(BM_rms_norm)->Arg(4096);

void BM_silu_mul(benchmark::State& state) {
  const std::vector<float> ones(static_cast<size_t>(state.range(0)), 1.0f);
  std::vector<float> gate = random_floats(state.range(0));
  for (auto _ : state) {
    silu_mul(gate.data(), ones.data(), state.range(0));
    benchmark::ClobberMemory();
  }
  report_elements(state, state.range(0));
}
BENCHMARK(BM_silu_mul)->Arg(11008);

void BM_rope_half(benchmark::State& state) {
  std::vector<float> x = random_floats(2 * state.range(0));
  const std::vector<float> cos(x.size(), 0.6f), sin(x.size(), 0.8f);
  for (auto _ : state) {
    rope_half(x.data(), cos.data(), sin.data(), state.range(0));
    benchmark::ClobberMemory();
  }
  report_elements(state, 2 * state.range(0));
}
BENCHMARK(BM_rope_half)->Arg(64);

// One row of one tile. The scores become their own exponentials again and again, which stay between 0 and 1.
void BM_softmax_tile(benchmark::State& state) {
  std::vector<float> s = random_floats(state.range(0));
  for (auto _ : state) {
    float max = 0, sum = 0;
    benchmark::DoNotOptimize(softmax_tile(s.data(), state.range(0), &max, &sum));
    benchmark::ClobberMemory();
  }
  report_elements(state, state.range(0));
}
BENCHMARK(BM_softmax_tile)->Arg(128);

void BM_max_abs(benchmark::State& state) {
  const std::vector<float> x = random_floats(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(max_abs(x.data(), state.range(0)));
  report_elements(state, state.range(0));
}
BENCHMARK(BM_max_abs)->Arg(4096);

// One token of a large vocabulary.
void BM_log_sum_exp(benchmark::State& state) {
  const std::vector<float> x = random_floats(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(log_sum_exp(x.data(), state.range(0)));
  report_elements(state, state.range(0));
}
BENCHMARK(BM_log_sum_exp)->Arg(128256);

}  // namespace
}  // namespace hesse

BENCHMARK_MAIN();
#endif
