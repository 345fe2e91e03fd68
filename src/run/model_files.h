// The files of a model directory beside its weights.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "formats/format.h"
#include "io/checkpoint.h"
#include "io/json.h"

namespace hesse {

// What belongs to the model and not to its weights or to a run: tokenizer, chat template, licence, generation and
// processor settings, code that config.json names, in folders too. Paths relative to `directory`, sorted.
std::vector<std::filesystem::path> files_beside_weights(const std::filesystem::path& directory);
// Copies those of `from` into `to`, which exists.
void copy_files_beside_weights(const std::filesystem::path& from, const std::filesystem::path& to);

// `config` without its member `key`.
Json without(const Json& config, std::string_view key);

// Makes `config` say that the plain weights are of the type of `format`, wherever it says of which they are.
void set_type(Json& config, const ExportFormat& format);

// The modules of `checkpoint` with a plain matrix ("NAME.weight" of two dimensions), but those of `packed`; sorted.
std::vector<std::string> plain_modules(std::vector<std::string> matrices, const std::vector<std::string>& packed);
std::vector<std::string> plain_modules(const Checkpoint& checkpoint, const std::vector<std::string>& packed);

}  // namespace hesse
