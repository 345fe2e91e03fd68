// Parts of JSON that several results share.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "hesse/types.h"
#include "io/json.h"
#include "report/utf8.h"

namespace hesse {

inline Json text(std::string_view value) { return Json(valid_utf8(value)); }

// What was not measured is -1.
inline Json measured(double value) { return value >= 0 ? Json(value) : Json(); }

template <class Integer>
Json list(const std::vector<Integer>& values) {
  Json out = Json::array();
  for (const Integer value : values) out.push_back(Json(static_cast<int64_t>(value)));
  return out;
}

template <class Item, class ToJson>
Json list_of(const std::vector<Item>& items, ToJson to) {
  Json out = Json::array();
  for (const Item& item : items) out.push_back(to(item));
  return out;
}

Json script_json(const ScriptShare& script);
Json finding_json(const Finding& finding);
Json source_json(const TextFacts& source);        // for the record, which travels: the text itself stays
Json shown_source_json(const TextFacts& source);  // with its lengths and its beginning
Json calibration_json(const CalibrationFacts& facts);

}  // namespace hesse
