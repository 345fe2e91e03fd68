// Methods of Python's strings, lists and dicts that templates call.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "template/calls.h"

namespace hesse::jinja {
namespace {

using Method = Value (*)(const Value& self, const Arguments& arguments, Budget& budget);

struct Row {
  std::string_view name;
  Method method;
};

const std::string& text_argument(const Arguments& a, size_t place, std::string_view name) {
  // The arguments outlive the call.
  const auto named = std::find_if(a.named.begin(), a.named.end(), [&](const auto& one) { return one.first == name; });
  const Value* value = place < a.plain.size() ? &a.plain[place] : named != a.named.end() ? &named->second : nullptr;
  if (value == nullptr || !value->is_string()) throw Failure(fmt::format("a method expects a str as its '{}'", name));
  return value->string();
}

int64_t integer_argument(const Arguments& a, size_t place, std::string_view name, int64_t otherwise) {
  const Value value = a.get(place, name, Value(otherwise));
  if (!value.is_integer()) throw Failure(fmt::format("a method expects an int as its '{}'", name));
  return value.integer();
}

// strip(chars), lstrip(chars), rstrip(chars).
template <bool left, bool right>
Value strip_method(const Value& self, const Arguments& a, Budget& budget) {
  budget.spend_bytes(self.string().size());
  const Value set = a.get(0, "chars");
  if (set.is_undefined() || set.is_none()) return Value(std::string(strip(self.string(), left, right)));
  std::vector<std::string_view> all = characters(self.string());
  const std::string& chars = text_argument(a, 0, "chars");
  const std::vector<std::string_view> wanted = characters(chars);
  const auto belongs = [&](std::string_view one) {
    budget.spend(wanted.size());
    return std::find(wanted.begin(), wanted.end(), one) != wanted.end();
  };
  size_t begin = 0, end = all.size();
  while (left && begin < end && belongs(all[begin])) ++begin;
  while (right && end > begin && belongs(all[end - 1])) --end;
  if (begin == end) return Value(std::string());
  const char* first = all[begin].data();
  return Value(std::string(first, all[end - 1].data() + all[end - 1].size()));
}

// Words between white space; with `most` of them cut off, the rest stays as it is.
Value split_at_spaces(std::string_view text, int64_t most, bool from_right) {
  std::vector<std::pair<size_t, size_t>> words;  // begin and end
  bool inside = false;
  for (const std::string_view one : characters(text)) {
    const size_t at = static_cast<size_t>(one.data() - text.data());
    const bool space = is_space(one);
    if (!space && !inside) words.emplace_back(at, at);
    if (!space) words.back().second = at + one.size();
    inside = !space;
  }
  const size_t count = words.size();
  const size_t cut = most >= 0 && static_cast<size_t>(most) < count ? static_cast<size_t>(most) : count;
  std::vector<Value> parts;
  const auto word = [&](size_t i) {
    return std::string(text.substr(words[i].first, words[i].second - words[i].first));
  };
  if (from_right) {
    if (cut < count) parts.emplace_back(std::string(text.substr(0, words[count - cut - 1].second)));
    for (size_t i = count - cut; i < count; ++i) parts.emplace_back(word(i));
  } else {
    for (size_t i = 0; i < cut; ++i) parts.emplace_back(word(i));
    if (cut < count) parts.emplace_back(std::string(text.substr(words[cut].first)));
  }
  return Value::list(std::move(parts));
}

template <bool from_right>
Value split(const Value& self, const Arguments& a, Budget& budget) {
  std::string_view text = self.string();
  const int64_t most = integer_argument(a, 1, "maxsplit", -1);
  const Value by = a.get(0, "sep");
  if (by.is_undefined() || by.is_none()) {
    budget.spend(text.size());
    return split_at_spaces(text, most, from_right);
  }
  budget.spend_bytes(text.size());
  const std::string& sep = text_argument(a, 0, "sep");
  if (sep.empty()) throw Failure("split() by an empty string");
  std::vector<Value> parts;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    budget.spend(1);
    const size_t at = from_right ? text.rfind(sep) : text.find(sep);
    if (at == std::string_view::npos) break;
    parts.emplace_back(std::string(from_right ? text.substr(at + sep.size()) : text.substr(0, at)));
    text = from_right ? text.substr(0, at) : text.substr(at + sep.size());
  }
  parts.emplace_back(std::string(text));
  if (from_right) std::reverse(parts.begin(), parts.end());
  return Value::list(std::move(parts));
}

Value splitlines(const Value& self, const Arguments& a, Budget& budget) {
  budget.spend_bytes(self.string().size());
  std::vector<Value> lines;
  for (const std::string_view line : lines_of(self.string(), a.get(0, "keepends").truth())) {
    budget.spend(1);
    lines.emplace_back(std::string(line));
  }
  return Value::list(std::move(lines));
}

// startswith and endswith take one string, or several in a tuple.
template <bool start>
Value begins_or_ends(const Value& self, const Arguments& a, Budget& budget) {
  const Value what = a.get(0, "");
  const std::vector<Value> all = what.is_tuple() ? what.items() : std::vector<Value>{what};
  for (const Value& one : all) {
    if (!one.is_string()) throw Failure(fmt::format("startswith or endswith of a {}", one.type_name()));
    budget.spend_bytes(one.string().size());
    if (start ? self.string().starts_with(one.string()) : self.string().ends_with(one.string())) return true;
  }
  return false;
}

template <bool last, bool must>
Value find(const Value& self, const Arguments& a, Budget& budget) {
  budget.spend_bytes(self.string().size());
  const std::string& what = text_argument(a, 0, "sub");
  const size_t at = last ? self.string().rfind(what) : self.string().find(what);
  if (at != std::string::npos)
    return static_cast<int64_t>(count_characters(std::string_view(self.string()).substr(0, at)));
  if (must) throw Failure("index(): the substring is not there");
  return int64_t{-1};
}

Value count(const Value& self, const Arguments& a, Budget& budget) {
  budget.spend_bytes(self.string().size());
  const std::string& what = text_argument(a, 0, "sub");
  if (what.empty()) return static_cast<int64_t>(count_characters(self.string()) + 1);
  int64_t found = 0;
  for (size_t at = 0; (at = self.string().find(what, at)) != std::string::npos; at += what.size()) ++found;
  return found;
}

Value replace(const Value& self, const Arguments& a, Budget& budget) {
  return Value(replaced(self.string(), text_argument(a, 0, "old"), text_argument(a, 1, "new"),
                        integer_argument(a, 2, "count", -1), budget));
}

Value join(const Value& self, const Arguments& a, Budget& budget) {
  std::string out;
  bool first = true;
  for (const Value& item : iterate(a.get(0, "iterable"), budget)) {
    if (!item.is_string()) throw Failure(fmt::format("join() of a {}, not a str", item.type_name()));
    budget.spend_bytes(out.size() + item.string().size() > Budget::kMostBytes ? Budget::kMostBytes + 1
                                                                              : item.string().size());
    if (!first) out += self.string();
    first = false;
    out += item.string();
  }
  return Value(std::move(out));
}

template <bool upper>
Value change_case(const Value& self, const Arguments&, Budget& budget) {
  budget.spend_bytes(self.string().size());
  return Value(in_case(self.string(), upper));
}

Value capitalize(const Value& self, const Arguments& a, Budget& budget) {
  return apply_filter("capitalize", self, a, budget);
}

// A letter behind anything but a letter is a capital, as str.title() has it.
Value title(const Value& self, const Arguments&, Budget& budget) {
  budget.spend_bytes(self.string().size());
  std::string out = in_case(self.string(), false);
  bool inside = false;
  for (char& c : out) {
    const bool letter = c >= 'a' && c <= 'z';
    if (letter && !inside) c = static_cast<char>(c - 'a' + 'A');
    inside = letter;
  }
  return Value(std::move(out));
}

template <bool prefix>
Value remove_affix(const Value& self, const Arguments& a, Budget& budget) {
  budget.spend_bytes(self.string().size());
  const std::string& affix = text_argument(a, 0, "prefix");
  std::string_view text = self.string();
  if (prefix && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!prefix && !affix.empty() && text.ends_with(affix)) text.remove_suffix(affix.size());
  return Value(std::string(text));
}

template <bool last>
Value partition(const Value& self, const Arguments& a, Budget& budget) {
  budget.spend_bytes(self.string().size());
  const std::string& sep = text_argument(a, 0, "sep");
  const std::string& text = self.string();
  if (sep.empty()) throw Failure("partition() by an empty string");
  const size_t at = last ? text.rfind(sep) : text.find(sep);
  std::array<std::string, 3> parts = {text, "", ""};
  if (at != std::string::npos) parts = {text.substr(0, at), sep, text.substr(at + sep.size())};
  if (at == std::string::npos && last) parts = {"", "", text};
  return Value::tuple({Value(parts[0]), Value(parts[1]), Value(parts[2])});
}

// isdigit() and its kin, for ASCII.
template <class Test>
Value all_of(const Value& self, Budget& budget, Test test) {
  budget.spend_bytes(self.string().size());
  const std::string& text = self.string();
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    throw Failure("isdigit() and its kin are known for ASCII only");
  return !text.empty() && std::all_of(text.begin(), text.end(), test);
}
bool digit(char c) { return c >= '0' && c <= '9'; }
bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }

constexpr Row kStringMethods[] = {
    {"strip", strip_method<true, true>},
    {"lstrip", strip_method<true, false>},
    {"rstrip", strip_method<false, true>},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"startswith", begins_or_ends<true>},
    {"endswith", begins_or_ends<false>},
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"rindex", find<true, true>},
    {"count", count},
    {"replace", replace},
    {"join", join},
    {"upper", change_case<true>},
    {"lower", change_case<false>},
    {"casefold", change_case<false>},
    {"capitalize", capitalize},
    {"title", title},
    {"removeprefix", remove_affix<true>},
    {"removesuffix", remove_affix<false>},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"isdigit", [](const Value& s, const Arguments&, Budget& b) { return all_of(s, b, digit); }},
    {"isnumeric", [](const Value& s, const Arguments&, Budget& b) { return all_of(s, b, digit); }},
    {"isdecimal", [](const Value& s, const Arguments&, Budget& b) { return all_of(s, b, digit); }},
    {"isalpha", [](const Value& s, const Arguments&,
                   Budget& b) { return all_of(s, b, [](char c) { return lower(c) || upper(c); }); }},
    {"isalnum", [](const Value& s, const Arguments&,
                   Budget& b) { return all_of(s, b, [](char c) { return lower(c) || upper(c) || digit(c); }); }},
    {"isspace", [](const Value& s, const Arguments&,
                   Budget& b) { return all_of(s, b, [](char c) { return is_space(std::string_view(&c, 1)); }); }},
};

Value list_index(const Value& self, const Arguments& a, Budget& budget) {
  const Value item = a.get(0, "value");
  for (size_t i = 0; i < self.items().size(); ++i) {
    if (equal(self.items()[i], item, budget)) return static_cast<int64_t>(i);
  }
  throw Failure("index(): the value is not there");
}

Value list_count(const Value& self, const Arguments& a, Budget& budget) {
  const Value item = a.get(0, "value");
  return static_cast<int64_t>(std::count_if(self.items().begin(), self.items().end(),
                                            [&](const Value& one) { return equal(one, item, budget); }));
}

Value copy(const Value& self, const Arguments&, Budget& budget) {
  budget.spend(1);
  return self;
}

constexpr Row kListMethods[] = {{"index", list_index}, {"count", list_count}, {"copy", copy}};

Value dict_items(const Value& self, const Arguments&, Budget& budget) {
  budget.spend(self.members().size());
  std::vector<Value> items;
  for (const auto& [key, value] : self.members()) items.push_back(Value::tuple({key, value}));
  return Value::list(std::move(items));
}

Value dict_values(const Value& self, const Arguments&, Budget& budget) {
  budget.spend(self.members().size());
  std::vector<Value> items;
  for (const auto& member : self.members()) items.push_back(member.second);
  return Value::list(std::move(items));
}

Value dict_keys(const Value& self, const Arguments&, Budget& budget) { return Value::list(iterate(self, budget)); }

Value dict_get(const Value& self, const Arguments& a, Budget& budget) {
  const Value key = a.get(0, "key");
  for (const auto& [name, value] : self.members()) {
    if (equal(name, key, budget)) return value;
  }
  return a.get(1, "default", None{});
}

constexpr Row kDictMethods[] = {
    {"items", dict_items}, {"keys", dict_keys}, {"values", dict_values}, {"get", dict_get}, {"copy", copy}};

Value loop_cycle(const Value& self, const Arguments& a, Budget& budget) {
  budget.spend(1);
  if (a.plain.empty()) throw Failure("loop.cycle() without values");
  return a.plain[self.loop()->index % a.plain.size()];
}

Value loop_changed(const Value& self, const Arguments& a, Budget& budget) {
  Loop& loop = *self.loop();
  bool same = loop.has_changed && loop.last_changed.size() == a.plain.size();
  for (size_t i = 0; same && i < a.plain.size(); ++i) same = equal(a.plain[i], loop.last_changed[i], budget);
  loop.has_changed = true;
  loop.last_changed = a.plain;
  return !same;
}

constexpr Row kLoopMethods[] = {{"cycle", loop_cycle}, {"changed", loop_changed}};

template <size_t n>
Method look_up(const Row (&rows)[n], std::string_view name) {
  const Row* row = std::find_if(std::begin(rows), std::end(rows), [&](const Row& one) { return one.name == name; });
  return row == std::end(rows) ? nullptr : row->method;
}

Method method_of(const Value& object, std::string_view name) {
  if (object.is_string()) return look_up(kStringMethods, name);
  if (object.is_dict()) return look_up(kDictMethods, name);
  if (object.is_list() && !object.is_generator()) return look_up(kListMethods, name);
  if (object.is<std::shared_ptr<Loop>>()) return look_up(kLoopMethods, name);
  return nullptr;
}

}  // namespace

bool has_method(const Value& object, std::string_view name) { return method_of(object, name) != nullptr; }

Value call_method(const Value& object, std::string_view name, const Arguments& arguments, Budget& budget) {
  return method_of(object, name)(object, arguments, budget);
}

Value Arguments::get(size_t place, std::string_view name) const { return get(place, name, Value()); }

Value Arguments::get(size_t place, std::string_view name, Value otherwise) const {
  if (place < plain.size()) return plain[place];
  const auto found = std::find_if(named.begin(), named.end(), [&](const auto& one) { return one.first == name; });
  return found == named.end() ? std::move(otherwise) : found->second;
}

void Arguments::expect(std::string_view what, size_t most, std::initializer_list<std::string_view> names) const {
  if (plain.size() > most)
    throw Failure(fmt::format("{} takes at most {} arguments, not {}", what, most, plain.size()));
  for (const auto& one : named) {
    if (std::find(names.begin(), names.end(), one.first) == names.end())
      throw Failure(fmt::format("{} has no argument '{}'", what, one.first));
  }
}

Value function(std::string name, std::function<Value(const Arguments&)> call) {
  return std::shared_ptr<const Callable>(std::make_shared<Callable>(Callable{std::move(name), std::move(call)}));
}

}  // namespace hesse::jinja
