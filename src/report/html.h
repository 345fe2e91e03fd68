// Text and numbers as a page shows them. Whatever comes from a record goes through escaped().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hesse {

std::string escaped(std::string_view text);  // for HTML text and for attributes in quotes; valid UTF-8
std::string shown_bytes(int64_t bytes);      // "11.5 MB"
std::string shown_seconds(double seconds);   // "3 min 7 s"
std::string shown_percent(double share);     // "0.42 %"; a dash where nothing was measured (below 0 or NaN)
std::string shown_number(double value);      // three digits; a dash for NaN
double decibels(double ratio);               // 10 log10, at least -99
std::string base64(std::string_view bytes);

// A table with its caption; cells hold HTML. The first cell of a row heads it.
struct HtmlTable {
  std::string caption;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
  bool sortable = false;
};
std::string html(const HtmlTable& table);

// <section> with a heading.
std::string html_section(std::string_view title, std::string_view body);

}  // namespace hesse
