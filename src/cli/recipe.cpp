#include <fmt/format.h>

#include "cli/command.h"
#include "cli/console.h"
#include "hesse/api.h"

namespace hesse {
namespace {

std::string setting_text(const LinearSetting& setting) {
  if (setting.skip) return fmt::format("{}: stays as it is\n", setting.name);
  return fmt::format("{}: {} bits, group size {}, {}, damping {}\n", setting.name, setting.bits, setting.group_size,
                     setting.symmetric ? "symmetric" : "asymmetric",
                     setting.damping > 0 ? fmt::format("{}", setting.damping) : "by held-out text");
}

}  // namespace

int print_recipe(const QuantizeOptions& options, const Manner& manner) {
  Console console(manner);
  const std::vector<LinearSetting> settings = resolve_recipe(options, console);
  std::string text;
  for (const LinearSetting& setting : settings) text += setting_text(setting);
  console.output(manner.json ? to_json(settings) + '\n' : text);
  return kExitFine;
}

}  // namespace hesse
