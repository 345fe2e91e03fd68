#include "io/json.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "hesse/error.h"

namespace hesse {
namespace {

constexpr size_t kMaxDepth = 200;

std::string_view type_name(Json::Type type) {
  switch (type) {
    case Json::Type::kNull:
      return "null";
    case Json::Type::kBool:
      return "a boolean";
    case Json::Type::kNumber:
      return "a number";
    case Json::Type::kString:
      return "a string";
    case Json::Type::kArray:
      return "an array";
    case Json::Type::kObject:
      return "an object";
  }
  return "?";
}

[[noreturn]] void wrong_type(std::string_view where, std::string_view expected, Json::Type found) {
  throw Error(ErrorKind::kBadInput, fmt::format("[json] {}: expected {}, found {}", where, expected, type_name(found)));
}

void append_quoted(std::string& out, const std::string& text) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

}  // namespace

// Receives nlohmann-json's events and builds our value, so that its own tree is never made.
class JsonBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonBuilder(const std::string& where) : where_(where) {}
  Json take() { return std::move(root_); }

  bool null() override { return put(Json()); }
  bool boolean(bool value) override { return put(Json(value)); }
  bool number_integer(number_integer_t value) override { return put(Json(static_cast<int64_t>(value))); }
  bool number_unsigned(number_unsigned_t value) override { return put_number(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return put_number(text); }
  bool string(string_t& value) override { return put(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return push(Json::object()); }
  bool start_array(size_t) override { return push(Json::array()); }
  bool key(string_t& name) override {
    keys_.push_back(std::move(name));
    return true;
  }
  bool end_object() override {
    refuse_duplicates(std::get<Json::Object>(open_.back().value_));
    return close();
  }
  bool end_array() override { return close(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // nlohmann's text: "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ..."
    std::string_view text = error.what();
    if (const size_t colon = text.find("] "); colon != std::string_view::npos) text.remove_prefix(colon + 2);
    throw Error(ErrorKind::kBadInput, fmt::format("[json] {}: {} (byte {})", where_, text, position));
  }

 private:
  bool put_number(std::string text) {
    Json value;
    value.value_ = Json::Number{std::move(text)};
    return put(std::move(value));
  }
  bool put(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Json& parent = open_.back(); parent.is_array()) {
      std::get<Json::Array>(parent.value_).push_back(std::move(value));
    } else {
      std::get<Json::Object>(parent.value_).emplace_back(std::move(keys_.back()), std::move(value));
      keys_.pop_back();
    }
    return true;
  }
  bool push(Json container) {
    if (open_.size() >= kMaxDepth) {
      throw Error(ErrorKind::kBadInput, fmt::format("[json] {}: nested deeper than {} levels", where_, kMaxDepth));
    }
    open_.push_back(std::move(container));
    return true;
  }
  bool close() {
    Json done = std::move(open_.back());
    open_.pop_back();
    return put(std::move(done));
  }
  void refuse_duplicates(const Json::Object& object) const {
    std::unordered_set<std::string_view> seen;
    seen.reserve(object.size());
    for (const auto& [name, value] : object) {
      if (!seen.insert(name).second) {
        throw Error(ErrorKind::kBadInput,
                    fmt::format("[json] {}: the key '{}' stands twice in one object", where_, name));
      }
    }
  }

  std::string where_;
  Json root_;
  std::vector<Json> open_;
  std::vector<std::string> keys_;
};

Json::Json(int64_t value) : value_(Number{std::to_string(value)}) {}

Json::Json(double value) {
  if (!std::isfinite(value)) return;
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  value_ = Number{std::move(text)};
}

Json Json::parse(std::string_view text, const std::string& where) {
  JsonBuilder builder(where);
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

Json::Type Json::type() const { return static_cast<Type>(value_.index()); }

bool Json::is_integer() const {
  const auto* number = std::get_if<Number>(&value_);
  if (number == nullptr) return false;
  int64_t value = 0;
  const char* end = number->text.data() + number->text.size();
  const auto result = std::from_chars(number->text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end;
}

bool Json::as_bool(std::string_view where) const {
  if (const bool* value = std::get_if<bool>(&value_)) return *value;
  wrong_type(where, "a boolean", type());
}

int64_t Json::as_int(std::string_view where) const {
  if (is_integer()) return std::stoll(std::get<Number>(value_).text);
  if (is_number()) {
    const double value = as_double(where);
    if (value == std::floor(value) && std::abs(value) < 0x1p53) return static_cast<int64_t>(value);
    throw Error(ErrorKind::kBadInput,
                fmt::format("[json] {}: expected an integer, found {}", where, std::get<Number>(value_).text));
  }
  wrong_type(where, "an integer", type());
}

double Json::as_double(std::string_view where) const {
  if (const auto* number = std::get_if<Number>(&value_)) return std::strtod(number->text.c_str(), nullptr);
  wrong_type(where, "a number", type());
}

const std::string& Json::as_string(std::string_view where) const {
  if (const auto* value = std::get_if<std::string>(&value_)) return *value;
  wrong_type(where, "a string", type());
}

const Json::Array& Json::as_array(std::string_view where) const {
  if (const auto* value = std::get_if<Array>(&value_)) return *value;
  wrong_type(where, "an array", type());
}

const Json::Object& Json::as_object(std::string_view where) const {
  if (const auto* value = std::get_if<Object>(&value_)) return *value;
  wrong_type(where, "an object", type());
}

const Json* Json::find(std::string_view key) const {
  if (const auto* object = std::get_if<Object>(&value_)) {
    for (const auto& [name, value] : *object) {
      if (name == key) return &value;
    }
  }
  return nullptr;
}

const Json* Json::find_value(std::string_view key) const {
  const Json* value = find(key);
  return (value != nullptr && value->is_null()) ? nullptr : value;
}

void Json::set(std::string_view key, Json value) {
  auto& object = std::get<Object>(value_);
  for (auto& [name, old] : object) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  object.emplace_back(std::string(key), std::move(value));
}

void Json::push_back(Json value) { std::get<Array>(value_).push_back(std::move(value)); }

std::string Json::dump(int indent) const {
  std::string out;
  dump_to(out, indent, 0);
  return out;
}

void Json::dump_to(std::string& out, int indent, int level) const {
  const auto new_line = [&](int depth) {
    if (indent >= 0) out += '\n' + std::string(static_cast<size_t>(indent * depth), ' ');
  };
  const char* separator = (indent >= 0) ? "," : ", ";
  switch (type()) {
    case Type::kNull:
      out += "null";
      break;
    case Type::kBool:
      out += std::get<bool>(value_) ? "true" : "false";
      break;
    case Type::kNumber:
      out += std::get<Number>(value_).text;
      break;
    case Type::kString:
      append_quoted(out, std::get<std::string>(value_));
      break;
    case Type::kArray: {
      const Array& items = std::get<Array>(value_);
      out += '[';
      for (size_t i = 0; i < items.size(); ++i) {
        if (i > 0) out += separator;
        new_line(level + 1);
        items[i].dump_to(out, indent, level + 1);
      }
      if (!items.empty()) new_line(level);
      out += ']';
      break;
    }
    case Type::kObject: {
      const Object& members = std::get<Object>(value_);
      out += '{';
      for (size_t i = 0; i < members.size(); ++i) {
        if (i > 0) out += separator;
        new_line(level + 1);
        append_quoted(out, members[i].first);
        out += ": ";
        members[i].second.dump_to(out, indent, level + 1);
      }
      if (!members.empty()) new_line(level);
      out += '}';
      break;
    }
  }
}

}  // namespace hesse
