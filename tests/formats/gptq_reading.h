// Reading one module of a GPTQ checkpoint that a test has made or damaged.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "formats/gptq.h"
#include "formats/stored_tensors.h"
#include "hesse/error.h"

namespace hesse {

inline const GptqFormat kV1(kGptqV1);
inline const GptqFormat kV2(kGptqV2);
inline constexpr const char* kModule = "model.layers.3.mlp.up_proj";

inline Json config_of(const ExportFormat& format, const LinearSpec& spec) { return format.config({.spec = spec}); }

inline Json with(Json config, std::string_view key, Json value) {
  config.set(key, std::move(value));
  return config;
}

inline QuantizedLinear read_stored(const ExportFormat& format, const StoredTensors& stored, const Json& config) {
  const CheckpointOnDisk disk(stored.all());
  return format.read(disk.open(), kModule, config);
}

// The message of the bad-input error, "no error" otherwise.
inline std::string refusal(const ExportFormat& format, const StoredTensors& stored, const Json& config) {
  try {
    read_stored(format, stored, config);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput) << error.what();
    return error.what();
  }
  return "no error";
}

}  // namespace hesse
