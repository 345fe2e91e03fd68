// Arithmetic on sizes that come from files: overflow is an error with a place, never a wrapped number.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "hesse/error.h"

namespace hesse {

// a * b, or Error(kBadInput) naming `what`. Both must be non-negative.
inline int64_t checked_mul(int64_t a, int64_t b, const char* what) {
  int64_t result = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &result)) {
    throw Error(ErrorKind::kBadInput, std::string("[size] ") + what + ": " + std::to_string(a) + " x " +
                                          std::to_string(b) + " is not a valid size; damaged file?");
  }
  return result;
}

// a + b, or Error(kBadInput) naming `what`. Both must be non-negative.
inline int64_t checked_add(int64_t a, int64_t b, const char* what) {
  int64_t result = 0;
  if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &result)) {
    throw Error(ErrorKind::kBadInput, std::string("[size] ") + what + ": " + std::to_string(a) + " + " +
                                          std::to_string(b) + " is not a valid size; damaged file?");
  }
  return result;
}

// `value` as a narrower integer (BLAS and LAPACK take int), or Error(kInternal) naming `what`.
template <class To, class From>
To narrow(From value, const char* what) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  const To result = static_cast<To>(value);
  if (static_cast<From>(result) != value || ((result < To{}) != (value < From{}))) {
    throw Error(ErrorKind::kInternal, std::string("[narrow] ") + what + ": " + std::to_string(value) +
                                          " does not fit the library's integer type");
  }
  return result;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace hesse
