#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/findings_text.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "data",
    "what a calibration text gives, before it is used",
    "--calib SOURCE... --model MODEL [flags]",
    "  hesse data --calib text.txt --model Llama-3.2-1B\n"
    "      documents, tokens, duplicates, and how each source begins\n"
    "  hesse data --calib wiki.txt:2 code.jsonl.gz:1 --model Llama-3.2-1B\n"
    "      two windows of prose for each one of code\n"
    "  hesse data --calib chat.jsonl --no-pack --length 256 --model Llama-3.2-1B-Instruct\n"
    "      conversations through the model's chat template, each window from one of them\n"
    "  hesse data --calib builtin:general builtin:code --random-share 0.1 --model Llama-3.2-1B --json\n"
    "      texts that come with Hesse, and a tenth of random tokens; the result for a program\n"
    "  The same flags mean the same to `hesse quantize` and `hesse check`.\n",
};

std::string data_text(const DataResult& result, bool verbose) {
  std::string text;
  for (const Finding& finding : result.findings) {
    if (verbose || finding.severity != Severity::kGood) text += finding_text(finding);
  }
  text += calibration_text(result.calibration);
  return text + fact("  BOS", result.begins_with_bos ? "in front of every window" : "is not added");
}

bool has_warning(const DataResult& result) {
  return std::any_of(result.findings.begin(), result.findings.end(),
                     [](const Finding& finding) { return finding.severity >= Severity::kWarning; });
}

}  // namespace

int run_data(const Arguments& arguments) {
  DataOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  Console console(manner);
  const DataResult result = describe_data(options);
  console.output(manner.json ? to_json(result) + '\n' : data_text(result, manner.verbose));
  return has_warning(result) ? kExitNotAllWell : kExitFine;
}

}  // namespace hesse
