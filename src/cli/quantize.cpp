#include <fmt/format.h>

#include "cli/command.h"
#include "cli/report_text.h"
#include "cli/run_log.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "quantize",
    "make a quantized copy of a model",
    "MODEL -o OUT --calib FILE... [flags]",
    "  hesse quantize Llama-3.2-1B -o Llama-3.2-1B-4bit --calib text.txt\n"
    "      4 bits in groups of 128, as most engines load it\n"
    "  hesse quantize MODEL -o OUT --calib prose.txt code.txt --bits 3 --group-size 64\n"
    "      smaller, from two calibration texts\n"
    "  hesse quantize MODEL -o OUT --calib text.txt --preset fast\n"
    "      in half the time, for a little more loss; `--preset best` takes longer and loses less\n"
    "  hesse quantize MODEL -o OUT --method rtn\n"
    "      rounding to nearest, to compare with; needs no text\n"
    "  hesse quantize MODEL -o OUT --calib text.txt --bits-target 4.25\n"
    "      2 to 8 bits, group sizes of 32 to 128, each where it helps most; --recipe: as you say\n"
    "  hesse quantize MODEL -o OUT --calib text.txt --trial\n"
    "      three layers on a little of the text: what the whole run would cost and lose\n"
    "  hesse quantize MODEL -o OUT --calib text.txt --redo 'model.layers.17.*'\n"
    "      solve some linears of a finished result again, with other text or options\n"
    "  An interrupted run, by Ctrl-C or worse, goes on when the same command is given again.\n",
};

// The flags that made the run: the main ones always, the others where they are not the default.
std::string spell_options(const QuantizeOptions& options) {
  const QuantizeOptions standard = QuantizeOptions::with_preset(options.preset);
  std::vector<std::string> defaults;
  visit_options(standard, [&](std::string_view name, const auto& field, std::string_view) {
    defaults.push_back(spell(name, field));
  });
  std::string text;
  size_t index = 0;
  visit_options(options, [&](std::string_view name, const auto& field, std::string_view) {
    const std::string spelled = spell(name, field);
    const bool main = name == "bits" || name == "group-size" || name == "sym" || name == "method" || name == "preset";
    if (main || spelled != defaults[index]) text += (text.empty() ? "" : " ") + spelled;
    ++index;
  });
  return text;
}

void announce(Console& console, const QuantizeOptions& options) {
  if (console.manner().quiet) return;
  ModelInfo info;
  try {
    info = inspect(InspectOptions{.model = options.model, .as = options.as});
  } catch (const Error&) {
    return;  // quantize() knows all that is wrong, not only the first of it
  }
  console.note(fmt::format("model    {}: {}, {}, {} parameters", options.model, info.family,
                           counted(info.layers, "layer"), format_count(info.parameters)));
  console.note(fmt::format("options  {}", spell_options(options)));
}

// An interrupted run goes on by the command that began it; here it stands for copying.
RunRecord quantize_or_tell_how_to_go_on(const Arguments& arguments, const QuantizeOptions& options, RunLog& log) {
  try {
    return quantize(options, log);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInterrupted || log.linears_done() == 0) throw;
    std::string command = "hesse quantize";
    for (const std::string& argument : arguments) {
      if (argument != "--no-resume") command += " " + shell_word(argument);
    }
    throw Error(error.kind(), fmt::format("{}: {}", error.what(), command));
  }
}

}  // namespace

QuantizeOptions options_of_preset(const Arguments& arguments) {
  std::string name;  // one that is none is left for problems() to speak of
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--preset" && i + 1 < arguments.size()) name = arguments[i + 1];
    if (arguments[i].starts_with("--preset=")) name = arguments[i].substr(9);
  }
  try {
    return name.empty() ? QuantizeOptions{} : QuantizeOptions::with_preset(name);
  } catch (const Error&) {
    return {};
  }
}

int run_quantize(const Arguments& arguments) {
  QuantizeOptions options = options_of_preset(arguments);
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  if (options.print_recipe) return print_recipe(options, manner);
  ignore_closed_pipes();
  RunLog log(manner);
  warn_about_environment(log, options.threads);
  announce(log, options);
  const RunRecord record = quantize_or_tell_how_to_go_on(arguments, options, log);
  log.finish_layer();
  if (manner.json) log.output(to_json(record) + '\n');
  // A trial has few tokens by intention; what they say of the result is not told.
  log.summary(record.forecast
                  ? summary_text(record)
                  : end_of_run(summary_text(record), record, diagnose(record), log.on_terminal() || manner.verbose));
  return record.fallbacks() > 0 ? kExitNotAllWell : kExitFine;
}

}  // namespace hesse
