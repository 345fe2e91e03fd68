// The configuration object of the GPTQ formats, as a reader sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/json.h"

namespace hesse {

struct GptqSettings {
  int bits = 0;
  int64_t group_size = 0;         // -1 or positive
  std::optional<bool> symmetric;  // absent in some files; the zero points tell
  bool overrides = false;         // "dynamic" changes the above for some linears; their tensors tell
};

// "gptq" or "gptq_v2"; nullopt when the quantization method is another one. Error(kBadInput) for formats that are
// called gptq but lie differently in the file.
std::optional<std::string> gptq_checkpoint_format(const Json& quantization_config);

// Error(kBadInput) naming the member that is missing, of a wrong type, or has a value that cannot be read.
GptqSettings gptq_settings(const Json& quantization_config);

}  // namespace hesse
