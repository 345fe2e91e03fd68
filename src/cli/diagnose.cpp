#include <fmt/format.h>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/report_text.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "diagnose",
    "what the record of a result says about it, and what to do",
    "OUT [--eval FILE] [flags]",
    "  hesse diagnose Llama-3.2-1B-4bit\n"
    "      the worst first, each with its evidence; then a bar for each layer\n"
    "  hesse eval Llama-3.2-1B-4bit --text heldout.txt --against Llama-3.2-1B --json > eval.json\n"
    "  hesse diagnose Llama-3.2-1B-4bit --eval eval.json\n"
    "      what became of the perplexity as well, and what to try next\n"
    "\n"
    "Exit code 0: nothing to do; 1: warnings or errors.\n",
};

const Manual kReport = {
    "report",
    "a page about a result, or several side by side",
    "OUT... [-o FILE] [flags]",
    "  hesse report Llama-3.2-1B-4bit\n"
    "      writes hesse-report.html into it again: one file, without network\n"
    "  hesse report Llama-3.2-1B-4bit Llama-3.2-1B-3bit -o compared.html\n"
    "      both in one page, the second against the first\n"
    "  hesse report Llama-3.2-1B-4bit --eval eval.json\n"
    "      with the perplexity that `hesse eval --json` measured\n",
};

}  // namespace

int run_report(const Arguments& arguments) {
  ReportOptions options;
  Manner manner;
  if (!parse_command(kReport, arguments, options, manner)) return kExitFine;
  Console console(manner);
  const ReportResult result = report(options);
  if (manner.json) console.output(to_json(result) + '\n');
  console.summary(fmt::format("{}: {}, {}\n", result.path, counted(result.runs, "run"), format_bytes(result.bytes)));
  return kExitFine;
}

int run_diagnose(const Arguments& arguments) {
  DiagnoseOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  Console console(manner);
  const DiagnosisResult result = diagnose(options);
  if (manner.json) {
    console.output(to_json(result) + '\n');
  } else {
    console.output(symptoms_text(result.symptoms, manner.verbose) + layer_bars(read_record(options.model)));
  }
  return result.worst() >= Severity::kWarning ? kExitNotAllWell : kExitFine;
}

}  // namespace hesse
