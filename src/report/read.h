// Members of a JSON object by name, all of whose errors say where they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hesse/error.h"
#include "io/json.h"

namespace hesse {

// Each throws Error(kBadInput) with the place ("hesse-run.json: linears[3]: loss") when the member is lacking or is of
// another type. The value must outlive the reader.
class JsonReader {
 public:
  JsonReader(const Json& value, std::string where) : value_(value), where_(std::move(where)) {
    value_.as_object(where_);
  }
  const std::string& where() const { return where_; }
  bool has(std::string_view name) const { return value_.find_value(name) != nullptr; }  // and it is not null

  std::string text(std::string_view name) const;
  std::string text_or(std::string_view name, const std::string& otherwise) const;
  bool boolean(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t least, int64_t most) const;
  int64_t count(std::string_view name) const;   // from 0
  uint64_t whole(std::string_view name) const;  // of 64 bits
  double number(std::string_view name) const;   // null: NaN
  double number_or(std::string_view name, double otherwise) const;
  JsonReader object(std::string_view name) const;
  std::vector<std::string> texts(std::string_view name) const;
  std::vector<double> numbers(std::string_view name) const;  // null: NaN
  std::vector<int64_t> integers(std::string_view name, int64_t least, int64_t most) const;

  // `read` makes an item of a JsonReader.
  template <class Read>
  auto list(std::string_view name, Read read) const {
    std::vector<decltype(read(*this))> items;
    const Json::Array& array = member(name).as_array(at(name));
    items.reserve(array.size());
    for (size_t i = 0; i < array.size(); ++i)
      items.push_back(read(JsonReader(array[i], at(name) + "[" + std::to_string(i) + "]")));
    return items;
  }

 private:
  const Json& member(std::string_view name) const;
  std::string at(std::string_view name) const { return where_ + ": " + std::string(name); }

  const Json& value_;
  std::string where_;
};

}  // namespace hesse
