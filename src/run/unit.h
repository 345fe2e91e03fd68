// The unit of work that is committed as a whole: the linears of one stage of one layer, packed and with their records.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hesse/events.h"
#include "io/checkpoint.h"
#include "io/file_sum.h"
#include "io/json.h"
#include "run/job.h"
#include "run/stage.h"

namespace hesse {

struct UnitPlace {
  int64_t layer = 0;
  int64_t stage = 0;  // of the layer
  bool operator==(const UnitPlace&) const = default;
};

// Of all stages in which the run has something to do, in the order of solving.
std::vector<UnitPlace> unit_places(const Job& job);

struct UnitLinear {
  LinearRecord record;
  std::string digest;  // of what is packed; empty: the linear stays as it is
};

struct Unit {
  UnitPlace place;
  std::string file;  // in the work directory: a safetensors file with the tensors of the result
  FileSum sum;       // of it
  std::vector<UnitLinear> linears;
  std::vector<std::string> warnings;  // that arose there
  double seconds = 0;                 // since its process began
};

// All fields come back as they were, to the last bit. Reading throws Error(kBadInput) for what does not fit.
Json unit_json(const Unit& unit);
Unit unit_from_json(const Json& json);
Json linear_record_json(const LinearRecord& record);
LinearRecord linear_record_from_json(const Json& json);

// Everything that a reader of the packed linear can see.
std::string digest(const QuantizedLinear& linear);

// The tensors of the linears that are packed, in the working format of the job's; synced.
void write_unit_file(const Job& job, const std::vector<SolvedLinear>& solved, const std::filesystem::path& path);

// The packed linear of a unit's file. Error(kEnvironment) when it is not what was written.
QuantizedLinear read_packed(const Job& job, const Checkpoint& file, const UnitLinear& linear,
                            const Json& quantization_config);

}  // namespace hesse
