// THE TABLE of readers that strangers' bytes reach, each with what must hold for any bytes at all: a value, or one
// Error(kBadInput) of one line; and what was read can be written and read again. `make fuzz` runs them under libFuzzer,
// the tests over tests/fuzz/corpus and over damaged copies of it.
#pragma once

#include <span>
#include <string_view>

namespace hesse::fuzz {

struct Target {
  std::string_view name;  // of the folder of its corpus as well
  void (*run)(std::string_view bytes);
};

std::span<const Target> targets();

// Ends the process with a message: a broken promise, as a fuzzer wants to be told.
[[noreturn]] void broken(std::string_view promise, std::string_view what);

}  // namespace hesse::fuzz
