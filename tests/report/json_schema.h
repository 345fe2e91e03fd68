// The part of JSON Schema that docs/hesse-run.schema.json uses.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "hesse/error.h"
#include "io/file.h"
#include "io/json.h"

namespace hesse {

class SchemaCheck {
 public:
  // What in `value` is not as `schema` has it, with its place; empty when all is. A keyword that this does not know is
  // one of them, so that no rule is taken for kept that nobody looked at.
  static std::vector<std::string> problems(const Json& schema, const Json& value) {
    SchemaCheck check;
    check.visit(schema, value, "$");
    return check.problems_;
  }

 private:
  void expect(bool good, const std::string& at, const std::string& what) {
    if (!good) problems_.push_back(at + ": " + what);
  }

  static bool is(const Json& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_bool();
    if (type == "null") return value.is_null();
    if (type == "integer") return value.is_number() && value.dump().find_first_of(".eE") == std::string::npos;
    return type == "number" && value.is_number();
  }

  void check_type(const Json& type, const Json& value, const std::string& at) {
    bool good = false;
    if (type.is_string()) {
      good = is(value, type.as_string(at));
    } else {
      for (const Json& one : type.as_array(at)) good = good || is(value, one.as_string(at));
    }
    expect(good, at, "is " + value.dump().substr(0, 40) + ", not of type " + type.dump());
  }

  void check_members(const Json& schema, const Json& value, const std::string& at) {
    const Json* properties = schema.find("properties");
    const Json* others = schema.find("additionalProperties");
    if (!value.is_object()) return;
    for (const auto& [name, member] : value.as_object(at)) {
      const Json* rule = properties != nullptr ? properties->find(name) : nullptr;
      if (rule == nullptr) rule = others;
      if (rule != nullptr) visit(*rule, member, at + "." + name);
    }
  }

  void visit(const Json& schema, const Json& value, const std::string& at) {
    for (const auto& [keyword, rule] : schema.as_object(at)) {
      if (keyword == "type") {
        check_type(rule, value, at);
      } else if (keyword == "const") {
        expect(value.dump() == rule.dump(), at, "is not " + rule.dump());
      } else if (keyword == "enum") {
        const Json::Array& all = rule.as_array(at);
        expect(std::any_of(all.begin(), all.end(), [&](const Json& one) { return one.dump() == value.dump(); }), at,
               "is none of " + rule.dump());
      } else if (keyword == "minimum") {
        expect(!value.is_number() || value.as_double(at) >= rule.as_double(at), at, "is below " + rule.dump());
      } else if (keyword == "required") {
        for (const Json& name : rule.as_array(at))
          expect(!value.is_object() || value.find(name.as_string(at)) != nullptr, at, "lacks " + name.dump());
      } else if (keyword == "items") {
        if (!value.is_array()) continue;
        for (size_t i = 0; i < value.as_array(at).size(); ++i)
          visit(rule, value.as_array(at)[i], at + "[" + std::to_string(i) + "]");
      } else if (keyword == "properties" || keyword == "additionalProperties") {
        continue;  // below, together
      } else if (keyword != "$schema" && keyword != "title" && keyword != "description") {
        problems_.push_back(at + ": keyword " + keyword);
      }
    }
    check_members(schema, value, at);
  }

  std::vector<std::string> problems_;
};

inline Json record_schema() {
  const char* const path = HESSE_SOURCE_DIR "/docs/hesse-run.schema.json";
  return Json::parse(read_text_file(path), path);
}

}  // namespace hesse
