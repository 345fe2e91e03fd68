// The table of families for people, and what a model of an unknown type may be.
#pragma once

#include <string>

#include "hesse/error.h"
#include "io/checkpoint.h"
#include "io/json.h"

namespace hesse {

// `config_json` with `as`, unless that is empty, in the place of the model_type of the text. Error(kUsage) when there
// is no such family.
Json config_as(const Json& config_json, const std::string& as);

// Whether config.json names a model_type that no row of the table has.
bool is_unknown_type(const Json& config_json);

// Of such a model: says which families have its tensors, by name and shape, and which have most of the names.
Error unknown_type(const Json& config_json, const Checkpoint& checkpoint);

}  // namespace hesse
