#include "report/read.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace hesse {

const Json& JsonReader::member(std::string_view name) const {
  if (const Json* found = value_.find(name)) return *found;
  throw Error(ErrorKind::kBadInput,
              fmt::format("[record] {}: no '{}'; damaged, or written by an older Hesse: quantize again", where_, name));
}

std::string JsonReader::text(std::string_view name) const { return member(name).as_string(at(name)); }

std::string JsonReader::text_or(std::string_view name, const std::string& otherwise) const {
  return has(name) ? text(name) : otherwise;
}

bool JsonReader::boolean(std::string_view name) const { return member(name).as_bool(at(name)); }

int64_t JsonReader::integer(std::string_view name, int64_t least, int64_t most) const {
  const int64_t value = member(name).as_int(at(name));
  if (value >= least && value <= most) return value;
  throw Error(ErrorKind::kBadInput,
              fmt::format("[record] {}: {} is {}; must be {} to {}", where_, name, value, least, most));
}

int64_t JsonReader::count(std::string_view name) const { return integer(name, 0, std::numeric_limits<int64_t>::max()); }

uint64_t JsonReader::whole(std::string_view name) const {
  const std::string text = member(name).dump();
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec == std::errc() && result.ptr == end) return value;
  throw Error(ErrorKind::kBadInput,
              fmt::format("[record] {}: {} is {}; must be 0 to 2^64 - 1", where_, name, text.substr(0, 40)));
}

double JsonReader::number(std::string_view name) const {
  const Json& value = member(name);
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.as_double(at(name));
}

double JsonReader::number_or(std::string_view name, double otherwise) const {
  return has(name) ? number(name) : otherwise;
}

JsonReader JsonReader::object(std::string_view name) const { return {member(name), at(name)}; }

std::vector<std::string> JsonReader::texts(std::string_view name) const {
  std::vector<std::string> items;
  for (const Json& item : member(name).as_array(at(name))) items.push_back(item.as_string(at(name)));
  return items;
}

std::vector<double> JsonReader::numbers(std::string_view name) const {
  std::vector<double> items;
  for (const Json& item : member(name).as_array(at(name)))
    items.push_back(item.is_null() ? std::numeric_limits<double>::quiet_NaN() : item.as_double(at(name)));
  return items;
}

std::vector<int64_t> JsonReader::integers(std::string_view name, int64_t least, int64_t most) const {
  std::vector<int64_t> items;
  for (const Json& item : member(name).as_array(at(name))) {
    items.push_back(item.as_int(at(name)));
    if (items.back() >= least && items.back() <= most) continue;
    throw Error(ErrorKind::kBadInput,
                fmt::format("[record] {}: {} has {}; must be {} to {}", where_, name, items.back(), least, most));
  }
  return items;
}

}  // namespace hesse
