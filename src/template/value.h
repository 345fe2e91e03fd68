// Values of templates, with Python's rules for comparing and printing them. Strings are UTF-8, and count by characters.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "io/json.h"

namespace hesse::jinja {

// What stops a template; whoever knows the line makes an Error of it.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// How much a rendering may do. Values may share parts, so even printing one can take any time: all that walks values
// spends from here.
class Budget {
 public:
  void spend(size_t steps) {
    if (steps > left_) throw Failure("it takes more steps than a conversation needs; an endless loop?");
    left_ -= steps;
  }
  void spend_bytes(size_t bytes) {
    if (bytes > kMostBytes) throw Failure("a text of more than 16 MiB arises");
    spend(1 + bytes / 16);
  }
  static constexpr size_t kMostBytes = size_t{16} << 20;  // of one string

 private:
  size_t left_ = 10'000'000;
};

struct Undefined {};
struct None {};
struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Callable;

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
                            std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
                            std::shared_ptr<Loop>, std::shared_ptr<const Callable>>;
  Value() = default;  // undefined
  Value(None) : data_(None{}) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string value) : data_(std::make_shared<const std::string>(std::move(value))) {}
  Value(const char*) = delete;  // would be a bool
  Value(std::shared_ptr<Namespace> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<Loop> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<const Callable> value) : data_(std::move(value)) {}
  static Value list(std::vector<Value> items);
  static Value tuple(std::vector<Value> items);
  static Value generator(std::vector<Value> items);  // what select, map and others make: true even when it is empty
  static Value dict(std::vector<std::pair<Value, Value>> items);  // a later key replaces an earlier one that is equal
  static Value from_json(const Json& json);

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }
  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_bool() const { return is<bool>(); }
  bool is_integer() const { return is<int64_t>(); }  // not a bool
  bool is_float() const { return is<double>(); }
  bool is_number() const { return is_bool() || is_integer() || is_float(); }  // as Python counts
  bool is_string() const { return is<std::shared_ptr<const std::string>>(); }
  bool is_list() const { return is<std::shared_ptr<const List>>(); }  // a tuple or generator too
  bool is_tuple() const;
  bool is_generator() const;
  bool is_dict() const { return is<std::shared_ptr<const Dict>>(); }
  bool is_callable() const { return is<std::shared_ptr<const Callable>>(); }

  const std::string& string() const { return *std::get<std::shared_ptr<const std::string>>(data_); }
  const std::vector<Value>& items() const;                      // of a list
  const std::vector<std::pair<Value, Value>>& members() const;  // of a dict, in the order of insertion
  const Value* find(std::string_view key) const;                // in a dict; nullptr: not there
  std::shared_ptr<Namespace> name_space() const { return std::get<std::shared_ptr<Namespace>>(data_); }
  std::shared_ptr<Loop> loop() const { return std::get<std::shared_ptr<Loop>>(data_); }
  std::shared_ptr<const Callable> callable() const { return std::get<std::shared_ptr<const Callable>>(data_); }
  int64_t integer() const;  // of a bool or an integer
  double number() const;    // of any number

  bool truth() const;
  const char* type_name() const;  // "str", "list", as Python says
  int depth() const;              // of lists in lists; 0: none

 private:
  static Value make_list(std::vector<Value> items, int kind);
  Data data_;
};

struct List {
  static constexpr int kList = 0, kTuple = 1, kGenerator = 2;
  std::vector<Value> items;
  int kind = kList;
  int depth = 1;
};
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;
};
struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
};
// `loop` inside a for.
struct Loop {
  std::vector<Value> items;
  size_t index = 0;
  int64_t depth = 1;
  std::vector<Value> last_changed;
  bool has_changed = false;
};

bool equal(const Value& a, const Value& b, Budget& budget);
// -1, 0, 1; Failure for types that have no order.
int compare(const Value& a, const Value& b, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);

// str(value) and repr(value).
std::string to_text(const Value& value, Budget& budget);
std::string to_repr(const Value& value, Budget& budget);

struct JsonManner {
  bool ascii = false;
  bool sort_keys = false;
  bool pretty = false;  // new lines, with `indent` for each level
  std::string indent;
  std::string item_separator = ", ", key_separator = ": ";
};
std::string to_json_text(const Value& value, const JsonManner& manner, Budget& budget);

// What a for loop goes through, what `list` makes: items, keys, characters. Failure for what cannot be gone through.
std::vector<Value> iterate(const Value& value, Budget& budget);

// Characters of a string.
size_t count_characters(std::string_view text);
std::vector<std::string_view> characters(std::string_view text);
// Without the whitespace that Python strips, at the ends that are asked for.
std::string_view strip(std::string_view text, bool left, bool right);
bool is_space(std::string_view character);

}  // namespace hesse::jinja
