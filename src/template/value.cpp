#include "template/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace hesse::jinja {
namespace {

constexpr int kMostDepth = 200;  // of lists in lists: what walks them is recursive

int one_deeper(int depth) {
  if (depth >= kMostDepth) throw Failure(fmt::format("lists are nested deeper than {} levels", kMostDepth));
  return depth + 1;
}

// Equal as keys, which are strings nearly always.
bool same_key(const Value& a, const Value& b) {
  Budget small;
  return equal(a, b, small);
}

}  // namespace

Value Value::list(std::vector<Value> items) { return make_list(std::move(items), List::kList); }
Value Value::tuple(std::vector<Value> items) { return make_list(std::move(items), List::kTuple); }
Value Value::generator(std::vector<Value> items) { return make_list(std::move(items), List::kGenerator); }

Value Value::make_list(std::vector<Value> items, int kind) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  auto list = std::make_shared<List>();
  list->depth = one_deeper(depth);
  list->items = std::move(items);
  list->kind = kind;
  Value value;
  value.data_ = std::shared_ptr<const List>(std::move(list));
  return value;
}

Value Value::dict(std::vector<std::pair<Value, Value>> items) {
  constexpr size_t kMostMembers = 10'000;  // each is compared with all before it
  if (items.size() > kMostMembers) throw Failure(fmt::format("a dict of more than {} members", kMostMembers));
  auto dict = std::make_shared<Dict>();
  int depth = 0;
  for (auto& [key, item] : items) {
    if (key.is_list() || key.is_dict()) throw Failure(fmt::format("a {} cannot be a key", key.type_name()));
    depth = std::max(depth, item.depth());
    const auto known = std::find_if(dict->items.begin(), dict->items.end(),
                                    [&, k = &key](const auto& member) { return same_key(member.first, *k); });
    if (known != dict->items.end()) {
      known->second = std::move(item);
    } else {
      dict->items.emplace_back(std::move(key), std::move(item));
    }
  }
  dict->depth = one_deeper(depth);
  Value value;
  value.data_ = std::shared_ptr<const Dict>(std::move(dict));
  return value;
}

Value Value::from_json(const Json& json) {
  switch (json.type()) {
    case Json::Type::kNull:
      return None{};
    case Json::Type::kBool:
      return json.as_bool("");
    case Json::Type::kNumber:
      if (json.is_integer()) return json.as_int("");
      return json.as_double("");
    case Json::Type::kString:
      return json.as_string("");
    case Json::Type::kArray: {
      std::vector<Value> items;
      for (const Json& item : json.as_array("")) items.push_back(from_json(item));
      return list(std::move(items));
    }
    case Json::Type::kObject:
      break;
  }
  // The keys are different already, as the reader of JSON saw to.
  auto dict = std::make_shared<Dict>();
  int depth = 0;
  for (const auto& [key, item] : json.as_object("")) {
    dict->items.emplace_back(Value(key), from_json(item));
    depth = std::max(depth, dict->items.back().second.depth());
  }
  dict->depth = one_deeper(depth);
  Value value;
  value.data_ = std::shared_ptr<const Dict>(std::move(dict));
  return value;
}

int Value::depth() const {
  if (is_list()) return std::get<std::shared_ptr<const List>>(data_)->depth;
  return is_dict() ? std::get<std::shared_ptr<const Dict>>(data_)->depth : 0;
}

bool Value::is_tuple() const { return is_list() && std::get<std::shared_ptr<const List>>(data_)->kind == List::kTuple; }
bool Value::is_generator() const {
  return is_list() && std::get<std::shared_ptr<const List>>(data_)->kind == List::kGenerator;
}

const std::vector<Value>& Value::items() const { return std::get<std::shared_ptr<const List>>(data_)->items; }

const std::vector<std::pair<Value, Value>>& Value::members() const {
  return std::get<std::shared_ptr<const Dict>>(data_)->items;
}

const Value* Value::find(std::string_view key) const {
  for (const auto& [name, value] : members()) {
    if (name.is_string() && name.string() == key) return &value;
  }
  return nullptr;
}

int64_t Value::integer() const { return is_bool() ? (std::get<bool>(data_) ? 1 : 0) : std::get<int64_t>(data_); }

double Value::number() const { return is_float() ? std::get<double>(data_) : static_cast<double>(integer()); }

bool Value::truth() const {
  if (is_undefined() || is_none()) return false;
  if (is_float()) return number() != 0;
  if (is_number()) return integer() != 0;
  if (is_string()) return !string().empty();
  if (is_list()) return is_generator() || !items().empty();
  if (is_dict()) return !members().empty();
  return true;
}

const char* Value::type_name() const {
  if (is_tuple()) return "tuple";
  if (is_generator()) return "generator";
  constexpr const char* kNames[] = {"undefined", "NoneType", "bool",      "int",  "float",   "str",
                                    "list",      "dict",     "namespace", "loop", "function"};
  return kNames[data_.index()];
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.spend(1);
  if (a.is_number() && b.is_number()) {
    return a.is_float() || b.is_float() ? a.number() == b.number() : a.integer() == b.integer();
  }
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_string() && b.is_string()) {
    budget.spend_bytes(std::min(a.string().size(), b.string().size()));
    return a.string() == b.string();
  }
  if (a.is_list() && b.is_list()) {
    if (a.is_tuple() != b.is_tuple() || a.is_generator() || b.is_generator() || a.items().size() != b.items().size())
      return false;
    for (size_t i = 0; i < a.items().size(); ++i) {
      if (!equal(a.items()[i], b.items()[i], budget)) return false;
    }
    return true;
  }
  if (a.is_dict() && b.is_dict()) {
    if (a.members().size() != b.members().size()) return false;
    return std::all_of(a.members().begin(), a.members().end(), [&](const auto& member) {
      const auto other = std::find_if(b.members().begin(), b.members().end(),
                                      [&](const auto& one) { return equal(member.first, one.first, budget); });
      return other != b.members().end() && equal(member.second, other->second, budget);
    });
  }
  if (a.is<std::shared_ptr<Namespace>>() && b.is<std::shared_ptr<Namespace>>()) return a.name_space() == b.name_space();
  return false;
}

int compare(const Value& a, const Value& b, Budget& budget) {
  budget.spend(1);
  if (a.is_number() && b.is_number()) {
    if (!a.is_float() && !b.is_float()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
    return a.number() < b.number() ? -1 : a.number() > b.number() ? 1 : 0;
  }
  // UTF-8 has the order of its characters.
  if (a.is_string() && b.is_string()) {
    budget.spend_bytes(std::min(a.string().size(), b.string().size()));
    const int order = a.string().compare(b.string());
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.is_list() && b.is_list() && a.is_tuple() == b.is_tuple()) {
    for (size_t i = 0; i < std::min(a.items().size(), b.items().size()); ++i) {
      if (!equal(a.items()[i], b.items()[i], budget)) return compare(a.items()[i], b.items()[i], budget);
    }
    return a.items().size() < b.items().size() ? -1 : a.items().size() > b.items().size() ? 1 : 0;
  }
  throw Failure(fmt::format("{} and {} cannot be compared", a.type_name(), b.type_name()));
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  if (container.is_string()) {
    if (!item.is_string()) throw Failure(fmt::format("'in' a str needs a str, not {}", item.type_name()));
    budget.spend_bytes(container.string().size());
    return container.string().find(item.string()) != std::string::npos;
  }
  if (container.is_dict()) {
    return std::any_of(container.members().begin(), container.members().end(),
                       [&](const auto& member) { return equal(member.first, item, budget); });
  }
  if (container.is_undefined()) return false;
  if (!container.is_list()) throw Failure(fmt::format("nothing can be 'in' a {}", container.type_name()));
  return std::any_of(container.items().begin(), container.items().end(),
                     [&](const Value& one) { return equal(one, item, budget); });
}

std::vector<Value> iterate(const Value& value, Budget& budget) {
  std::vector<Value> result;
  if (value.is_list()) {
    budget.spend(value.items().size());
    result = value.items();
  } else if (value.is_dict()) {
    budget.spend(value.members().size());
    for (const auto& member : value.members()) result.push_back(member.first);
  } else if (value.is_string()) {
    budget.spend(value.string().size());
    for (const std::string_view one : characters(value.string())) result.emplace_back(std::string(one));
  } else if (!value.is_undefined()) {
    throw Failure(fmt::format("a {} cannot be gone through", value.type_name()));
  }
  return result;
}

}  // namespace hesse::jinja
