// JSON values. Objects keep the order of the file and numbers keep their spelling, so that a config.json that is
// read and written again differs only where it was meant to. Behind it, in json.cpp alone: nlohmann-json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace hesse {

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;  // in the order of the file, keys unique
  enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : Json(static_cast<int64_t>(value)) {}
  Json(int64_t value);
  Json(double value);  // not finite: null
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}

  // Parses UTF-8 text. Throws Error(kBadInput) "[json] `where`: ..." for malformed text, invalid UTF-8, duplicate keys,
  // nesting deeper than 200, or anything after the value.
  static Json parse(std::string_view text, const std::string& where);
  static Json array() { return Json(Array{}); }
  static Json object() { return Json(Object{}); }

  Type type() const;
  bool is_null() const { return type() == Type::kNull; }
  bool is_bool() const { return type() == Type::kBool; }
  bool is_number() const { return type() == Type::kNumber; }
  bool is_integer() const;  // a number spelled without fraction or exponent that fits int64_t
  bool is_string() const { return type() == Type::kString; }
  bool is_array() const { return type() == Type::kArray; }
  bool is_object() const { return type() == Type::kObject; }

  // Each throws Error(kBadInput) "[json] `where`: expected ..., found ..." when the value is of another type.
  bool as_bool(std::string_view where) const;
  int64_t as_int(std::string_view where) const;  // 2.0 counts as 2
  double as_double(std::string_view where) const;
  const std::string& as_string(std::string_view where) const;
  const Array& as_array(std::string_view where) const;
  const Object& as_object(std::string_view where) const;

  // The member `key` of an object; nullptr when absent or when this is no object. Linear in the number of members.
  const Json* find(std::string_view key) const;
  // The same, but nullptr for a member that is null as well.
  const Json* find_value(std::string_view key) const;

  // Replaces member `key` or appends it. This must be an object.
  void set(std::string_view key, Json value);
  void push_back(Json value);  // this must be an array

  // Text; indent < 0: one line with ", " and ": ", else pretty with `indent` spaces a level. UTF-8 stays as it is.
  std::string dump(int indent = -1) const;

 private:
  friend class JsonBuilder;
  struct Number {
    std::string text;
  };
  void dump_to(std::string& out, int indent, int level) const;
  std::variant<std::monostate, bool, Number, std::string, Array, Object> value_;
};

}  // namespace hesse
