// The part of RateMeter that solves.
#include <algorithm>
#include <utility>
#include <vector>

#include "api/rate_meter.h"
#include "base/process.h"
#include "base/threads.h"
#include "quant/gptq.h"
#include "quant/held_out.h"
#include "quant/solver.h"
#include "quant/target.h"

namespace hesse {
namespace {

constexpr const char* kSolver = "gptq";

Hessian random_hessian(int64_t in, uint64_t seed) {
  Hessian hessian(in);
  hessian.add(random_activations(2 * in, in, seed).view());
  return hessian;
}

// Two widths, whole groups of the file where the groups are not too wide for it.
std::pair<int64_t, int64_t> two_widths(const LinearSpec& spec, int64_t widest, int64_t largest) {
  const int64_t group = spec.group_size > 0 ? std::min(spec.group_size, largest / 2) : int64_t{128};
  const int64_t most = std::max(2 * group, std::min(widest, largest) / group * group);
  return {std::max(group, most / 4 / group * group), most};
}

}  // namespace

void RateMeter::solver(const LinearSpec& spec, const GptqOptions& asked, int64_t widest, MachineRates& rates) const {
  constexpr int64_t kQuickWidth = 512, kThoroughWidth = 1024;
  GptqOptions options = asked;
  if (options.damping == kDampingByData) options.damping = kStandardDamping;
  const auto [narrow, wide] = two_widths(spec, widest, care_ == Care::kQuick ? kQuickWidth : kThoroughWidth);
  const int64_t rows = kSolverRows * threads();
  Growth::Point prepare[2], solve[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t in = i == 0 ? narrow : wide;
    const Matrix<float> weight = random_activations(rows, in, 1);
    const PrepareOptions preparing{options.damping, options.order, spec.group_width(in)};
    PreparedHessian prepared(random_hessian(in, 2));
    prepare[i] = {in, seconds_of([&] { prepared = prepare_hessian(prepared.release(), preparing); })};
    const Solver& gptq = hesse::solver(kSolver);
    solve[i] = {in, seconds_of([&] { solve_linear(gptq, weight.view(), &prepared, spec, options); })};
    if (i == 0) continue;
    const Hessian held_out = random_hessian(in, 3);
    rates.held_out_share =
        seconds_of([&] { held_out_errors(weight.view(), prepared, held_out, spec, options); }) / solve[i].seconds;
    const Matrix<double> correction = Matrix<double>::zeros(rows, in);
    rates.target = 2 * static_cast<double>(rows * in) * static_cast<double>(in) /
                   seconds_of([&] { shifted_target(weight.view(), correction.view(), prepared); });
  }
  // The cubic part is one factorization, at about the rate of the triangular solves: from widths that take a
  // millisecond, noise would be carried to widths that take an hour.
  rates.prepare = Growth::through(2, prepare[0], prepare[1]);
  rates.prepare.high = std::min(rates.prepare.high, 1 / rates.target);
  rates.solve = Growth::through(1, solve[0], solve[1]);
}

}  // namespace hesse
