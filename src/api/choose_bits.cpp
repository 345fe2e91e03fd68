#include "api/choose_bits.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <utility>

#include "api/prepare.h"
#include "hesse/error.h"
#include "io/file.h"
#include "io/staged_directory.h"
#include "plan/recipe.h"
#include "run/fates.h"
#include "run/measure.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostTold = 5;
constexpr int kProtected = 8;  // bits

fs::path measurement_path(const QuantizeOptions& options) {
  if (!options.measurement.empty()) return options.measurement;
  return output_path(options.output).string() + ".hesse-measurement.json";
}

std::optional<Measurement> read_measurement(const Job& job, const fs::path& path) {
  if (!fs::is_regular_file(path)) return std::nullopt;
  const std::string name = path.filename().string();
  Measurement found = measurement_from_json(Json::parse(read_text_file(path), name), name);
  if (found.fingerprint == measurement_fingerprint(job)) return found;
  if (job.options.measurement.empty()) return std::nullopt;  // ours, and out of date
  throw Error(ErrorKind::kUsage, fmt::format("[measurement] {} is of another model, calibration text, group size or "
                                             "Hesse; give another name, or remove it",
                                             path.string()));
}

Measurement take_measurement(const Job& job, Listener& listener) {
  if (job.options.measurement.empty() && job.options.output.empty()) return measure(job, listener);
  const fs::path path = measurement_path(job.options);
  if (std::optional<Measurement> found = read_measurement(job, path)) return std::move(*found);
  Measurement made = measure(job, listener);
  write_text_file(path, measurement_json(made).dump(1) + "\n");
  return made;
}

double damage_at(const MeasuredUnit& unit, const LinearSpec& spec) {
  for (const Candidate& candidate : unit.candidates) {
    if (candidate.spec == spec) return candidate.damage;
  }
  return 0;
}

class Choosing {
 public:
  Choosing(Job& job, std::vector<MeasuredUnit> units) : job_(job) {
    for (MeasuredUnit& unit : units) {
      if (fate_of(job, unit.members.front().linear) == Fate::kSolve) units_.push_back(std::move(unit));
    }
    if (units_.empty()) throw Error(ErrorKind::kUsage, "[bits-target] no linear is left to choose bits for");
  }

  void reach(double target, const std::vector<int>& bits) {
    std::vector<MeasuredUnit> free = units_;
    for (MeasuredUnit& unit : free) keep_possible(unit, bits);
    const std::vector<size_t> chosen = allocate_bits(free, target);
    for (size_t u = 0; u < free.size(); ++u) set(free[u], free[u].candidates[chosen[u]].spec);
  }

  void protect(int64_t count) {
    std::vector<size_t> order = by_damage();
    order.resize(std::min(order.size(), static_cast<size_t>(count)));
    for (const size_t u : order) {
      LinearSpec spec = choice_of(job_, units_[u].members.front().linear).spec;
      spec.bits = kProtected;
      set(units_[u], spec);
    }
  }

  std::vector<PredictedDamage> worst() const {
    std::vector<size_t> order = by_damage();
    order.resize(std::min(order.size(), kMostTold));
    const double weights = std::accumulate(units_.begin(), units_.end(), 0.0,
                                           [](double sum, const MeasuredUnit& unit) { return sum + unit.weights(); });
    std::vector<PredictedDamage> list;
    for (const size_t u : order) {
      const LinearSpec spec = spec_of(units_[u]);
      LinearSpec better = spec;
      better.bits = kProtected;
      PredictedDamage damage{.linears = {}, .bits = spec.bits, .kl = damage_at(units_[u], spec)};
      damage.bits_at_8 = (units_[u].bits(better) - units_[u].bits(spec)) / weights;
      for (const MeasuredUnit::Member& member : units_[u].members) damage.linears.push_back(member.linear);
      list.push_back(std::move(damage));
    }
    return list;
  }

 private:
  LinearSpec spec_of(const MeasuredUnit& unit) const { return choice_of(job_, unit.members.front().linear).spec; }

  // A unit that the recipe decides has one candidate; the others those that the format and their widths allow.
  void keep_possible(MeasuredUnit& unit, const std::vector<int>& bits) const {
    if (job_.choices.count(unit.members.front().linear) != 0) {
      const LinearSpec spec = spec_of(unit);
      unit.candidates = {{spec, damage_at(unit, spec)}};
      return;
    }
    std::erase_if(unit.candidates, [&](const Candidate& candidate) {
      const bool asked = std::find(bits.begin(), bits.end(), candidate.spec.bits) != bits.end();
      return !asked || std::any_of(unit.members.begin(), unit.members.end(), [&](const MeasuredUnit::Member& member) {
        return member.in % candidate.spec.group_width(member.in) != 0 ||
               !job_.format->why_not(member.out, member.in, candidate.spec).empty();
      });
    });
    if (unit.candidates.empty()) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("[bits-target] '{}' can have none of the candidates in format {}; give it a rule in a "
                              "--recipe, or another --group-size",
                              unit.members.front().linear, job_.format->name()));
    }
  }

  void set(const MeasuredUnit& unit, const LinearSpec& spec) {
    for (const MeasuredUnit::Member& member : unit.members) {
      LinearChoice choice = choice_of(job_, member.linear);
      choice.spec = spec;
      job_.choices[member.linear] = choice;
    }
  }

  std::vector<size_t> by_damage() const {
    std::vector<size_t> order(units_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return damage_at(units_[a], spec_of(units_[a])) > damage_at(units_[b], spec_of(units_[b]));
    });
    return order;
  }

  Job& job_;
  std::vector<MeasuredUnit> units_;
};

}  // namespace

void choose_bits(Job& job, const ModelShapes& shapes, Listener& listener) {
  const QuantizeOptions& options = job.options;
  if (!options.chooses_bits()) return;
  if (!job.windows || !job.solver->needs_hessian) {
    throw Error(ErrorKind::kUsage,
                "[bits-target] what a linear loses is measured on calibration text with method gptq; give --calib");
  }
  Choosing choosing(job, take_measurement(job, listener).units);
  if (options.bits_target > 0) choosing.reach(options.bits_target, parse_bits(options.bits_choices));
  if (options.protect > 0) choosing.protect(options.protect);
  job.predicted_damage = choosing.worst();
  require_storable(job, shapes);
}

}  // namespace hesse
