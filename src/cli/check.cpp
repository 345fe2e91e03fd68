#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/findings_text.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "check",
    "what can be known before work, and what to do about it",
    "MODEL [--calib FILE...] [--text FILE...] [flags of quantize]",
    "  hesse check Llama-3.2-1B\n"
    "      config, tensors and tokenizer; a few tokens through the model\n"
    "  hesse check Llama-3.2-1B --calib text.txt --text heldout.txt\n"
    "      the calibration text as well, and whether it overlaps the evaluation text\n"
    "  hesse check Llama-3.2-1B --calib text.txt --bits 3 --group-size 64 --json\n"
    "      the same flags as `hesse quantize`; the result for a program\n"
    "  hesse check Llama-3.1-405B --config-only\n"
    "      before a download: memory, disk and time from config.json alone; --verbose: which engines, and why\n"
    "  hesse check Llama-3.2-1B --deep --sha256\n"
    "      every weight and every byte is read\n"
    "\n"
    "Exit code 0: nothing to do; 1: warnings; 3: errors, on which `hesse quantize` would stop.\n",
};

std::string tokens_text(const CheckResult& result) {
  std::string text;
  for (const SpecialTokenFacts& token : result.special_tokens) {
    const std::string ids = token.used.empty() ? "none" : fmt::format("{}", fmt::join(token.used, ", "));
    text += fact("  " + token.name, token.content.empty() ? ids : fmt::format("{} ({})", ids, token.content));
  }
  return text.empty() ? "" : "\nspecial tokens that are used\n" + text;
}

std::string files_text(const CheckResult& result) {
  std::string text;
  for (const InputFile& file : result.files) text += fmt::format("{}  {}\n", file.sha256, file.name);
  return text.empty() ? "" : "\nSHA-256\n" + text;
}

std::string plan_text(const PlanFacts& plan, bool verbose) {
  std::string text = "\nplan\n";
  text +=
      fact("  model", fmt::format("{} parameters in {}", format_count(plan.parameters), counted(plan.layers, "layer")));
  text += fact("  memory", fmt::format("{} at the peak, {} available", format_bytes(plan.peak_memory_bytes),
                                       format_bytes(plan.available_memory_bytes)));
  for (const PhaseMemoryFacts& phase : plan.memory) {
    if (verbose) text += fact("    " + phase.phase, fmt::format("{}  {}", format_bytes(phase.bytes), phase.where));
  }
  text += fact("  disk",
               fmt::format("{} for the result, {} more until it is whole, {} free", format_bytes(plan.result_bytes),
                           format_bytes(plan.work_bytes), format_bytes(plan.free_disk_bytes)));
  if (plan.seconds < 0) return text;
  const double layer =
      plan.layer_seconds.empty() ? 0 : *std::max_element(plan.layer_seconds.begin(), plan.layer_seconds.end());
  text += fact("  time", fmt::format("about {} on this machine, {} a layer", format_duration(plan.seconds),
                                     format_duration(layer)));
  for (const PhaseTime& phase : plan.phases) {
    if (verbose) text += fact("    " + phase.name, format_duration(phase.seconds));
  }
  return text;
}

std::string group_size_text(const PlanFacts& plan) {
  std::string text = "\ngroup sizes\n";
  for (const GroupSizeFacts& linear : plan.group_sizes) {
    std::vector<std::string> sizes;
    for (const auto& size : linear.sizes) sizes.push_back(fmt::format("{} {}", size.group_size, size.fit));
    text += fmt::format("  {} x {}  {}, {}: {}\n", linear.out, linear.in, linear.linear,
                        counted(linear.count, "linear"), fmt::join(sizes, ", "));
  }
  return text;
}

std::string devices_text(const LoaderFacts& loader) {
  return loader.devices == 1 ? "" : fmt::format(" on {} devices", loader.devices);
}

std::string loaders_text(const PlanFacts& plan) {
  std::string text = "\nwho loads the result\n";
  for (const LoaderFacts& row : plan.loaders) {
    text += fmt::format("  {:<8}{}{}{}\n", row.verdict, row.engine + " " + row.kernel, devices_text(row),
                        row.why.empty() ? "" : ": " + row.why);
  }
  return text;
}

// What is good is counted, and told with --verbose.
std::string check_text(const CheckResult& result, bool verbose) {
  std::string text;
  for (const Finding& finding : result.findings) {
    if (verbose || finding.severity != Severity::kGood) text += finding_text(finding);
  }
  text += tokens_text(result);
  if (result.calibration) text += calibration_text(*result.calibration);
  if (result.plan) text += plan_text(*result.plan, verbose);
  if (result.plan && verbose) text += group_size_text(*result.plan) + loaders_text(*result.plan);
  text += files_text(result);
  const std::string verdict = result.worst() == Severity::kError     ? "quantize would stop"
                              : result.worst() == Severity::kWarning ? "quantize would run"
                                                                     : "nothing to do";
  return text + fmt::format("\n{}: {}, {}, {}, {} checks good, {}\n", verdict,
                            counted(result.count(Severity::kError), "error"),
                            counted(result.count(Severity::kWarning), "warning"),
                            counted(result.count(Severity::kNote), "note"), result.count(Severity::kGood),
                            format_duration(result.seconds));
}

}  // namespace

int run_check(const Arguments& arguments) {
  CheckOptions options;
  options.quantize = options_of_preset(arguments);
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  if (options.quantize.print_recipe) return print_recipe(options.quantize, manner);
  Console console(manner);
  warn_about_environment(console, options.quantize.threads);
  const CheckResult result = check(options, console);
  console.output(manner.json ? to_json(result) + '\n' : check_text(result, manner.verbose));
  if (result.worst() == Severity::kError) return kExitStops;
  return result.worst() == Severity::kWarning ? kExitNotAllWell : kExitFine;
}

}  // namespace hesse
