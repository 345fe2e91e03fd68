// libFuzzer's entrance: HESSE_FUZZ_TARGET is the name of a row of the table.
#include <cstddef>
#include <cstdint>

#include "fuzz/targets.h"

namespace {

const hesse::fuzz::Target& find_target(std::string_view name) {
  for (const hesse::fuzz::Target& target : hesse::fuzz::targets()) {
    if (target.name == name) return target;
  }
  hesse::fuzz::broken("a fuzzer has its target", name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const hesse::fuzz::Target& target = find_target(HESSE_FUZZ_TARGET);
  target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
