#include "model/config_fields.h"

#include <fmt/format.h>

#include <cmath>

#include "hesse/error.h"

namespace hesse {

void Fields::refuse(const std::string& why) const {
  throw Error(ErrorKind::kBadInput, fmt::format("[config] {}: {}", where_, why));
}

std::string Fields::path(std::string_view key) const { return fmt::format("{}, '{}'", where_, key); }

std::string_view Fields::name_of(const Key& key) const {
  const bool older = !key.older.empty() && json_.find_value(key.name) == nullptr && json_.find_value(key.older);
  return older ? key.older : key.name;
}

int64_t Fields::size(std::string_view key, int64_t missing, int64_t limit) const {
  const Json* value = key.empty() ? nullptr : json_.find_value(key);
  if (value == nullptr) {
    if (missing > 0) return missing;
    refuse(fmt::format("'{}' is missing; is this the config.json of a language model?", key));
  }
  const int64_t number = value->as_int(path(key));
  if (number < 1 || number > limit) refuse(fmt::format("'{}' is {}; expected 1 to {}", key, number, limit));
  return number;
}

int64_t Fields::count(std::string_view key, int64_t missing) const {
  const Json* value = json_.find_value(key);
  return value != nullptr && value->as_int(path(key)) == 0 ? 0 : size(key, missing);
}

double Fields::positive(const Json& object, std::string_view key, double missing) const {
  const Json* value = key.empty() ? nullptr : object.find_value(key);
  const double number = (value == nullptr) ? missing : value->as_double(path(key));
  if (!(number > 0) || number > 1e30) refuse(fmt::format("'{}' is {}; expected a positive number", key, number));
  return number;
}

float Fields::number(const NumberRule& rule) const {
  const Json* given = rule.key.empty() ? nullptr : json_.find(rule.key);
  if (given == nullptr) return static_cast<float>(rule.missing);
  if (given->is_null()) return 0;
  const double number = given->as_double(path(rule.key));
  if (!(std::abs(number) <= 1e30)) refuse(fmt::format("'{}' is {}; expected a finite number", rule.key, number));
  return static_cast<float>(number);
}

bool Fields::flag(std::string_view key, bool missing) const {
  const Json* value = json_.find_value(key);
  return value == nullptr ? missing : value->as_bool(path(key));
}

std::string Fields::text(const Json& object, std::string_view key, std::string_view missing) const {
  const Json* value = key.empty() ? nullptr : object.find_value(key);
  return value == nullptr ? std::string(missing) : value->as_string(path(key));
}

bool Fields::holds(const Condition& condition) const {
  if (condition.kind == Condition::Kind::kNever) return false;
  const Json* value = json_.find_value(condition.key);
  if (condition.kind == Condition::Kind::kPresent) return value != nullptr;
  if (value == nullptr) return condition.missing == condition.wanted;
  const int64_t number = value->is_bool() ? (value->as_bool("") ? 1 : 0) : value->as_int(path(condition.key));
  return number == condition.wanted;
}

}  // namespace hesse
