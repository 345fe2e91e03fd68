// Speed of solving one linear, all threads: weights/s, and FLOP/s that count the out x in^2 operations of GPTQ's
// feedback alone, whatever else a preset does. Preparing the Hessian is not part of it (linalg_bench: BM_factor_upper).
#include <cmath>
#include <string>

#include "bench.h"
#include "hesse/options.h"
#include "quant/solver.h"

namespace hesse {
namespace {

// As src/run/job.cpp does.
GptqOptions options_of(const std::string& preset) {
  const QuantizeOptions o = QuantizeOptions::with_preset(preset);
  GptqOptions gptq{.joint_candidates = static_cast<int>(o.joint), .sweeps = static_cast<int>(o.sweeps)};
  gptq.order = o.order == "file" ? ColumnOrder::kFile : ColumnOrder::kGroups;
  gptq.grid.search = o.scale_search == "minmax" ? ScaleSearch::kMinMax : ScaleSearch::kWeighted;
  gptq.grid.negative_scales = !o.positive_scales;
  return gptq;
}

// Channels of very different size, as in real layers, with a part that all share.
Hessian hessian_of(int64_t in) {
  Matrix<float> x = random_matrix(2 * in, in, 3);
  const Matrix<float> common = random_matrix(2 * in, 1, 4), size = random_matrix(1, in, 5);
  parallel_for(x.rows(), [&](int64_t t) {
    for (int64_t i = 0; i < in; ++i) x(t, i) = std::exp(size(0, i)) * (x(t, i) + common(t, 0));
  });
  Hessian hessian(in);
  hessian.add(x.view());
  return hessian;
}

// Arguments out, in, bits. Groups of 64, which divides every width here.
void run_solver(benchmark::State& state, const std::string& preset) {
  const int64_t out = state.range(0), in = state.range(1);
  const GptqOptions options = options_of(preset);
  const LinearSpec spec{.bits = static_cast<int>(state.range(2)), .group_size = 64};
  const PreparedHessian hessian =
      prepare_hessian(hessian_of(in), PrepareOptions{.order = options.order, .group_width = spec.group_size});
  const Matrix<float> weight = random_matrix(out, in);
  for (auto _ : state) {
    const SolveOutcome outcome = solve_linear(solver("gptq"), weight.view(), &hessian, spec, options);
    if (outcome.route != SolveRoute::kSolved) return state.SkipWithError("not solved");
    if (!(outcome.loss < outcome.rtn_loss)) return state.SkipWithError("no better than rounding");
  }
  state.counters["weights/s"] =
      benchmark::Counter(static_cast<double>(out * in), benchmark::Counter::kIsIterationInvariantRate);
  report_flops(state, static_cast<double>(out * in * in));
}

void shapes(benchmark::internal::Benchmark* b) {
  for (const int64_t bits : {4, 2}) b->Args({576, 576, bits})->Args({1536, 576, bits})->Args({576, 1536, bits});
}

#define HESSE_SOLVER_BENCHMARK(preset) \
  BENCHMARK_CAPTURE(run_solver, preset, #preset)->ArgNames({"out", "in", "bits"})->Apply(shapes)->Apply(all_threads)

HESSE_SOLVER_BENCHMARK(classic);
HESSE_SOLVER_BENCHMARK(fast);
HESSE_SOLVER_BENCHMARK(balanced);

}  // namespace
}  // namespace hesse

int main(int argc, char** argv) { return hesse::run_benchmarks(argc, argv); }
