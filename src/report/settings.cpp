// What was decided for linears before a run, as JSON.
#include "report/facts.h"
#include "report/report.h"

namespace hesse {
namespace {

Json setting_json(const LinearSetting& setting) {
  if (setting.skip) return Json::Object{{"name", text(setting.name)}, {"skip", true}};
  return Json::Object{{"name", text(setting.name)},
                      {"bits", setting.bits},
                      {"group_size", setting.group_size},
                      {"symmetric", setting.symmetric},
                      {"damping", setting.damping > 0 ? Json(setting.damping) : Json("auto")}};
}

}  // namespace

std::string to_json(const std::vector<LinearSetting>& settings) {
  const Json root = Json::Object{{"schema", "hesse-recipe/1"}, {"linears", list_of(settings, setting_json)}};
  return root.dump(2);
}

}  // namespace hesse
