#include "plan/allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "hesse/error.h"

namespace hesse {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kScaleBits = 16;
constexpr double kQuanta = 1 << 20;  // of the whole size

// A candidate that some target may want: no other one of its unit is smaller and better.
struct Option {
  size_t index = 0;
  int64_t size = 0;  // quanta
  double damage = 0;
};
using Options = std::vector<Option>;  // by rising size and falling damage

// A choice for the first units: one point of the front of sizes and damages.
struct State {
  int64_t size = 0;
  double damage = 0;
  int32_t parent = -1;  // in the states of the units before
  int32_t option = -1;
};

double total_weights(const std::vector<MeasuredUnit>& units) {
  double sum = 0;
  for (const MeasuredUnit& unit : units) sum += unit.weights();
  return sum;
}

Options useful_options(const MeasuredUnit& unit, double quantum) {
  Options all;
  for (size_t i = 0; i < unit.candidates.size(); ++i) {
    const Candidate& candidate = unit.candidates[i];
    all.push_back({i, static_cast<int64_t>(std::ceil(unit.bits(candidate.spec) / quantum - 1e-9)), candidate.damage});
  }
  std::stable_sort(all.begin(), all.end(), [](const Option& a, const Option& b) {
    return a.size != b.size ? a.size < b.size : a.damage < b.damage;
  });
  Options useful;
  for (const Option& option : all) {
    if (useful.empty() || option.damage < useful.back().damage) useful.push_back(option);
  }
  return useful;
}

// Lagrange: at the price `lambda` of a quantum, what the units from each on cost at least, sizes included.
std::vector<double> priced_rest(const std::vector<Options>& units, double lambda) {
  std::vector<double> rest(units.size() + 1, 0.0);
  for (size_t u = units.size(); u-- > 0;) {
    double least = kInfinity;
    for (const Option& option : units[u])
      least = std::min(least, option.damage + lambda * static_cast<double>(option.size));
    rest[u] = rest[u + 1] + least;
  }
  return rest;
}

// What every unit takes by itself at that price; of equals the smaller.
std::vector<size_t> priced_choice(const std::vector<Options>& units, double lambda) {
  std::vector<size_t> choice;
  for (const Options& options : units) {
    size_t best = 0;
    const auto price = [&](size_t i) { return options[i].damage + lambda * static_cast<double>(options[i].size); };
    for (size_t i = 1; i < options.size(); ++i) {
      if (price(i) < price(best)) best = i;
    }
    choice.push_back(best);
  }
  return choice;
}

int64_t size_of(const std::vector<Options>& units, const std::vector<size_t>& choice) {
  int64_t size = 0;
  for (size_t u = 0; u < units.size(); ++u) size += units[u][choice[u]].size;
  return size;
}

double damage_of(const std::vector<Options>& units, const std::vector<size_t>& choice) {
  double damage = 0;
  for (size_t u = 0; u < units.size(); ++u) damage += units[u][choice[u]].damage;
  return damage;
}

// The least price at which the units' own choices fit.
double fitting_price(const std::vector<Options>& units, int64_t budget) {
  double low = 0, high = 1e-30;
  while (size_of(units, priced_choice(units, high)) > budget) high *= 4;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (size_of(units, priced_choice(units, middle)) > budget ? low : high) = middle;
  }
  return high;
}

// One unit more: all points of the front that can still become better than `best`.
std::vector<State> extended(const std::vector<State>& states, const Options& options, int64_t budget,
                            const std::function<bool(const State&)>& hopeful) {
  std::vector<State> all;
  for (size_t s = 0; s < states.size(); ++s) {
    for (size_t o = 0; o < options.size(); ++o) {
      const State next{states[s].size + options[o].size, states[s].damage + options[o].damage, static_cast<int32_t>(s),
                       static_cast<int32_t>(o)};
      if (next.size <= budget && hopeful(next)) all.push_back(next);
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const State& a, const State& b) {
    return a.size != b.size ? a.size < b.size : a.damage < b.damage;
  });
  std::vector<State> front;
  for (const State& state : all) {
    if (front.empty() || state.damage < front.back().damage) front.push_back(state);
  }
  return front;
}

}  // namespace

double MeasuredUnit::weights() const {
  double sum = 0;
  for (const Member& member : members) sum += static_cast<double>(member.out) * static_cast<double>(member.in);
  return sum;
}

double MeasuredUnit::bits(const LinearSpec& spec) const {
  double sum = 0;
  for (const Member& member : members) {
    const double groups = static_cast<double>(spec.groups(member.in));
    sum += static_cast<double>(member.out) *
           (static_cast<double>(member.in) * spec.bits + groups * (kScaleBits + spec.bits));
  }
  return sum;
}

BitsRange reachable_bits(const std::vector<MeasuredUnit>& units) {
  BitsRange range;
  for (const MeasuredUnit& unit : units) {
    double least = kInfinity, most = 0;
    for (const Candidate& candidate : unit.candidates) {
      least = std::min(least, unit.bits(candidate.spec));
      most = std::max(most, unit.bits(candidate.spec));
    }
    range.least += least;
    range.most += most;
  }
  const double weights = total_weights(units);
  return {range.least / weights, range.most / weights};
}

// Dynamic programming over the units. The price of size that fits the budget gives a bound (Lagrange) for what a point
// of the front can still become; nearly all points lie above it and are dropped.
std::vector<size_t> allocate_bits(const std::vector<MeasuredUnit>& units, double bits_per_weight) {
  const BitsRange range = reachable_bits(units);
  if (!(bits_per_weight >= range.least)) {
    throw Error(
        ErrorKind::kUsage,
        fmt::format("[bits-target] {} bits per weight cannot be reached; with the candidates that were measured "
                    "it is {:.3f} to {:.3f}, scales and zero points counted",
                    bits_per_weight, range.least, range.most));
  }
  const double whole = bits_per_weight * total_weights(units);
  const double quantum = std::max(1.0, whole / kQuanta);
  // Rounding up must not put the smallest choice out of reach.
  std::vector<Options> options;
  int64_t smallest = 0;
  for (const MeasuredUnit& unit : units) {
    options.push_back(useful_options(unit, quantum));
    smallest += options.back().front().size;
  }
  const int64_t budget = std::max(smallest, static_cast<int64_t>(whole / quantum));
  const double lambda = fitting_price(options, budget);
  const std::vector<size_t> simple = priced_choice(options, lambda);
  const double best = damage_of(options, simple) * (1 + 1e-12);
  const std::vector<double> rest = priced_rest(options, lambda);

  std::vector<std::vector<State>> fronts{{State{}}};
  for (size_t u = 0; u < options.size(); ++u) {
    fronts.push_back(extended(fronts.back(), options[u], budget, [&](const State& state) {
      return state.damage + rest[u + 1] - lambda * static_cast<double>(budget - state.size) <= best;
    }));
  }
  std::vector<size_t> choice(units.size());
  int32_t at = static_cast<int32_t>(fronts.back().size()) - 1;  // the largest is the best
  for (size_t u = units.size(); u-- > 0;) {
    const State& state = fronts[u + 1][static_cast<size_t>(at)];
    choice[u] = options[u][static_cast<size_t>(state.option)].index;
    at = state.parent;
  }
  return choice;
}

}  // namespace hesse
