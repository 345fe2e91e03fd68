#include "io/toml.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 1
#include <fmt/format.h>
#include <toml++/toml.h>

#include <utility>

#include "hesse/error.h"

namespace hesse {
namespace {

[[noreturn]] void refuse(const std::string& where, const toml::source_region& place, std::string_view what) {
  throw Error(ErrorKind::kBadInput, fmt::format("[toml] {}, line {}: {}", where, place.begin.line, what));
}

Json value_of(const toml::node& node, const std::string& where) {
  if (const toml::table* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, value] : *table) object.set(std::string_view(key), value_of(value, where));
    return object;
  }
  if (const toml::array* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& value : *array) list.push_back(value_of(value, where));
    return list;
  }
  if (const auto* text = node.as_string()) return Json(text->get());
  if (const auto* number = node.as_integer()) return Json(number->get());
  if (const auto* number = node.as_floating_point()) return Json(number->get());
  if (const auto* truth = node.as_boolean()) return Json(truth->get());
  refuse(where, node.source(), "dates and times mean nothing here");
}

}  // namespace

Json parse_toml(std::string_view text, const std::string& where) {
  try {
    return value_of(toml::parse(text), where);
  } catch (const toml::parse_error& error) {
    refuse(where, error.source(), error.description());
  }
}

}  // namespace hesse
