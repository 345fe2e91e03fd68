#include <fmt/format.h>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/findings_text.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kConvert = {
    "convert",
    "a quantized model in another format, without loss",
    "MODEL -o OUT --format FORMAT [flags]",
    "  hesse convert Llama-3.2-1B-4bit -o Llama-3.2-1B-awq --format awq\n"
    "      the same codes, scales and zero points where another engine looks for them\n"
    "  hesse convert MODEL -o OUT --format compressed-tensors\n"
    "      MODEL may be of GPTQModel, AutoGPTQ, llm-compressor or AutoAWQ too, with or without act-order\n"
    "  hesse convert MODEL -o OUT --format bf16\n"
    "      the weights that the codes stand for as plain numbers, for any engine\n"
    "  What a format cannot express stops it before anything is written: one line says which linear and why.\n",
};

const Manual kVerify = {
    "verify",
    "whether a quantized model is what its configuration says",
    "MODEL [flags]",
    "  hesse verify Llama-3.2-1B-4bit\n"
    "      decodes every packed tensor; exit code 1 when something is wrong\n"
    "  hesse verify MODEL --json\n"
    "      MODEL may be of another tool\n",
};

std::string findings_of(const VerifyResult& result) {
  std::string text;
  for (const Finding& finding : result.findings) text += finding_text(finding);
  return text;
}

}  // namespace

int run_convert(const Arguments& arguments) {
  ConvertOptions options;
  Manner manner;
  if (!parse_command(kConvert, arguments, options, manner)) return kExitFine;
  Console console(manner);
  warn_about_environment(console, options.threads);
  const ConvertResult result = convert(options, console);
  if (manner.json) console.output(to_json(result) + '\n');
  console.summary(fmt::format("{}: {} from {} to {}, {}, {} in {}\n", options.output, counted(result.linears, "linear"),
                              result.from, result.to, result.exact ? "code for code" : "rounded to plain numbers",
                              format_bytes(result.bytes), format_duration(result.seconds)));
  return kExitFine;
}

int run_verify(const Arguments& arguments) {
  VerifyOptions options;
  Manner manner;
  if (!parse_command(kVerify, arguments, options, manner)) return kExitFine;
  Console console(manner);
  warn_about_environment(console, options.threads);
  const VerifyResult result = verify(options, console);
  if (manner.json) {
    console.output(to_json(result) + '\n');
  } else {
    console.output(findings_of(result));
    console.summary(fmt::format(
        "{}: {}, {}, {} in {}\n", options.model, result.format, counted(result.linears, "packed linear"),
        result.sound() ? "as config.json says" : "NOT as config.json says", format_duration(result.seconds)));
  }
  return result.sound() ? kExitFine : kExitNotAllWell;
}

}  // namespace hesse
