// Filters that are more than a line, and what they share.
#pragma once

#include <cstdint>

#include "template/calls.h"

namespace hesse::jinja {

using Filter = Value (*)(const Value& input, const Arguments& arguments, Budget& budget);

int64_t integer(const Value& value, const char* what);  // Failure for what is no whole number
// "a.b.0" of an item, as `attribute` arguments have it.
Value path_of(const Value& item, const Value& path, Budget& budget);

// Filters of sequences, in template/sequences.cpp.
Value sort(const Value& input, const Arguments& arguments, Budget& budget);
Value dictsort(const Value& input, const Arguments& arguments, Budget& budget);
Value smallest(const Value& input, const Arguments& arguments, Budget& budget);
Value largest(const Value& input, const Arguments& arguments, Budget& budget);
Value unique(const Value& input, const Arguments& arguments, Budget& budget);
Value batch(const Value& input, const Arguments& arguments, Budget& budget);
Value map(const Value& input, const Arguments& arguments, Budget& budget);
Value select(const Value& input, const Arguments& arguments, Budget& budget);
Value reject(const Value& input, const Arguments& arguments, Budget& budget);
Value select_by_attribute(const Value& input, const Arguments& arguments, Budget& budget);
Value reject_by_attribute(const Value& input, const Arguments& arguments, Budget& budget);

}  // namespace hesse::jinja
