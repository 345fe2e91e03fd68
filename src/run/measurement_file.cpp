// The measurement of a model as a file, for another target.
#include <fmt/format.h>

#include "base/sha256.h"
#include "hesse/error.h"
#include "run/identity.h"
#include "run/measure.h"

namespace hesse {
namespace {

constexpr const char* kSchema = "hesse-measurement/1";

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error(ErrorKind::kBadInput, fmt::format("[measurement] {}: {}", where, what));
}

const Json& member(const Json& object, const char* key, const std::string& where) {
  const Json* value = object.find_value(key);
  if (value == nullptr) refuse(where, fmt::format("'{}' is missing", key));
  return *value;
}

int64_t positive(const Json& object, const char* key, const std::string& where) {
  const int64_t value = member(object, key, where).as_int(where);
  if (value < 1) refuse(where, fmt::format("'{}' is {}, must be positive", key, value));
  return value;
}

Candidate candidate_from_json(const Json& json, const std::string& where) {
  Candidate candidate;
  candidate.spec.bits = static_cast<int>(positive(json, "bits", where));
  candidate.spec.group_size = member(json, "group_size", where).as_int(where);
  candidate.spec.symmetric = member(json, "sym", where).as_bool(where);
  candidate.damage = member(json, "damage", where).as_double(where);
  if (candidate.spec.bits > 8 || candidate.spec.group_size < -1 || candidate.spec.group_size == 0)
    refuse(where, fmt::format("'{}' is no choice", to_text(candidate.spec)));
  return candidate;
}

MeasuredUnit unit_from_json(const Json& json, const std::string& where) {
  MeasuredUnit unit;
  for (const Json& linear : member(json, "linears", where).as_array(where)) {
    unit.members.push_back({member(linear, "name", where).as_string(where), positive(linear, "out", where),
                            positive(linear, "in", where)});
  }
  for (const Json& candidate : member(json, "candidates", where).as_array(where))
    unit.candidates.push_back(candidate_from_json(candidate, where));
  if (unit.members.empty() || unit.candidates.empty()) refuse(where, "a unit without linears or candidates");
  return unit;
}

}  // namespace

std::string measurement_fingerprint(const Job& job) {
  std::string text = fmt::format("{} {} {} {}", model_fingerprint(job), calibration_fingerprint(job),
                                 compute_name(job.compute.type), job.solver->name);
  for (const LinearSpec& spec : measured_specs(job)) text += "; " + to_text(spec);
  return sha256_hex(text);
}

Json measurement_json(const Measurement& measurement) {
  Json units = Json::array();
  for (const MeasuredUnit& unit : measurement.units) {
    Json linears = Json::array(), candidates = Json::array();
    for (const MeasuredUnit::Member& linear : unit.members)
      linears.push_back(Json::Object{{"name", linear.linear}, {"out", linear.out}, {"in", linear.in}});
    for (const Candidate& candidate : unit.candidates) {
      candidates.push_back(Json::Object{{"bits", candidate.spec.bits},
                                        {"group_size", candidate.spec.group_size},
                                        {"sym", candidate.spec.symmetric},
                                        {"damage", candidate.damage}});
    }
    units.push_back(Json::Object{{"linears", std::move(linears)}, {"candidates", std::move(candidates)}});
  }
  return Json::Object{{"schema", kSchema}, {"fingerprint", measurement.fingerprint}, {"units", std::move(units)}};
}

Measurement measurement_from_json(const Json& json, const std::string& where) {
  if (const std::string schema = member(json, "schema", where).as_string(where); schema != kSchema)
    refuse(where, fmt::format("schema is \"{}\", this version reads \"{}\"", schema, kSchema));
  Measurement measurement{.fingerprint = member(json, "fingerprint", where).as_string(where), .units = {}};
  for (const Json& unit : member(json, "units", where).as_array(where))
    measurement.units.push_back(unit_from_json(unit, where));
  if (measurement.units.empty()) refuse(where, "there are no units");
  return measurement;
}

}  // namespace hesse
