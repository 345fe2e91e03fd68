#include "api/model_card.h"

#include <algorithm>

#include "io/file.h"
#include "report/card.h"
#include "report/utf8.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

// "org/name" of a hub, which transformers leaves in config.json; paths of a machine are of no use to a reader.
std::string base_model(const CardRequest& request) {
  const Json* value = request.config_json.find_value("_name_or_path");
  if (value != nullptr && value->is_string()) {
    const std::string& name = value->as_string("_name_or_path");
    const bool of_hub = std::count(name.begin(), name.end(), '/') == 1 && name.front() != '/' && name.front() != '.' &&
                        name.front() != '~' && !name.ends_with('/') && name.find('\\') == std::string::npos;
    if (of_hub) return valid_utf8(name);
  }
  return valid_utf8(fs::weakly_canonical(request.model).filename().string());
}

}  // namespace

void write_model_card(const CardRequest& request, const RunRecord* record) {
  const CardFacts facts{.base_model = base_model(request), .format = request.format, .hub = request.hub};
  const fs::path path = request.directory / "README.md";
  std::string readme;
  if (fs::is_regular_file(path)) {
    readme = read_text_file(path);
    remove_file(path);
  }
  write_text_file(path, record != nullptr ? card_of_run(std::move(readme), facts, *record)
                                          : card_of_conversion(std::move(readme), facts));
  const fs::path attributes = request.directory / ".gitattributes";
  if (!request.hub) return;
  remove_file(attributes);
  write_text_file(attributes, git_attributes());
}

}  // namespace hesse
