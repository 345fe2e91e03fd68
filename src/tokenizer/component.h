// Reading the parts of tokenizer.json: each is an object whose "type" names it in a table.
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>
#include <string_view>

#include "hesse/error.h"
#include "io/json.h"

namespace hesse {

// One part of the file and its place in it, for error messages: "tokenizer.json: normalizer.normalizers[1]".
struct Component {
  const Json& json;
  std::string where;

  const Json& required(std::string_view key) const {
    const Json* value = json.find(key);
    if (value == nullptr) throw Error(ErrorKind::kBadInput, fmt::format("[tokenizer] {}: '{}' is missing", where, key));
    return *value;
  }
  const std::string& string(std::string_view key) const {
    return required(key).as_string(where + "." + std::string(key));
  }
  const Json::Array& array(std::string_view key) const {
    return required(key).as_array(where + "." + std::string(key));
  }
  bool boolean(std::string_view key, bool fallback) const {
    const Json* value = json.find_value(key);
    return value == nullptr ? fallback : value->as_bool(where + "." + std::string(key));
  }
  std::string optional_string(std::string_view key) const {
    const Json* value = json.find_value(key);
    return value == nullptr ? std::string() : value->as_string(where + "." + std::string(key));
  }
  [[noreturn]] void refuse(std::string_view why) const {
    throw Error(ErrorKind::kBadInput, fmt::format("[tokenizer] {}: {}", where, why));
  }
};

// A row of a table of component types.
template <class Made>
struct ComponentType {
  std::string_view name;
  Made (*make)(const Component&);
};

// Makes the component with the row of its type. An unknown type is an error that lists the known ones.
template <class Made>
Made make_component(const Component& component, std::span<const ComponentType<Made>> table) {
  const std::string& type = component.string("type");
  std::string known;
  for (const auto& row : table) {
    if (row.name == type) return row.make(component);
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  component.refuse(fmt::format("the type '{}' is not supported; known here: {}", type, known));
}

// Calls `use(element component)` for each element of the array `key`.
template <class Use>
void for_each_component(const Component& component, std::string_view key, Use use) {
  size_t i = 0;
  for (const Json& element : component.array(key))
    use(Component{element, fmt::format("{}.{}[{}]", component.where, key, i++)});
}

}  // namespace hesse
