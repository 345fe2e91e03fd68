// The command-line tool: finds the command, and turns whatever stops it into one line and an exit code.
#include <fmt/format.h>

#include <cstdio>
#include <new>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/signals.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const Arguments&);
};

constexpr Command kCommands[] = {
    {"inspect", "what a model is made of, and which group sizes fit it", run_inspect},
    {"check", "what can be known before work, and what to do about it", run_check},
    {"data", "what a calibration text gives: documents, tokens, where it begins", run_data},
    {"quantize", "make a quantized copy of a model", run_quantize},
    {"diagnose", "what the record of a result says about it, and what to do", run_diagnose},
    {"report", "a page about a result, or several side by side", run_report},
    {"eval", "perplexity of models, what quantization lost, tasks", run_eval},
    {"generate", "text from a model", run_generate},
    {"compare", "answers of several models side by side", run_compare},
    {"convert", "a quantized model in another format, without loss", run_convert},
    {"verify", "whether a quantized model is what its configuration says", run_verify},
    {"tokenize", "text to token ids and back, to look at", run_tokenize},
    {"bench", "speed of this machine, and how long a model will take", run_bench},
};

std::string overview() {
  std::string commands;
  for (const Command& command : kCommands) commands += fmt::format("  {:<10}{}\n", command.name, command.summary);
  return fmt::format(
      "hesse {}: GPTQ quantization of large language models on any CPU\n\n"
      "Examples:\n"
      "  hesse inspect Llama-3.2-1B\n"
      "  hesse check Llama-3.2-1B --calib text.txt\n"
      "  hesse data --calib builtin:general chat.jsonl:2 --model Llama-3.2-1B\n"
      "  hesse quantize Llama-3.2-1B -o Llama-3.2-1B-4bit --calib text.txt\n"
      "  hesse eval Llama-3.2-1B-4bit --text heldout.txt\n"
      "  hesse generate Llama-3.2-1B-4bit --prompt \"Once upon a time\"\n"
      "  hesse bench --model Llama-3.2-1B\n\n"
      "Commands (hesse COMMAND --help tells more):\n{}\n"
      "  --version, --help\n\n{}",
      version(), commands, kExitCodes);
}

int dispatch(const Arguments& all) {
  if (all.empty() || all[0] == "--help" || all[0] == "-h" || all[0] == "help") {
    print_help(overview());
    return kExitFine;
  }
  if (all[0] == "--version") {
    print_help(fmt::format("hesse {}\n", version()));
    return kExitFine;
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    if (all[0] == command.name) return command.run(Arguments(all.begin() + 1, all.end()));
    names.emplace_back(command.name);
  }
  if (all[0].starts_with('-')) throw UsageError("", {fmt::format("'{}' stands before a command", all[0])});
  const std::string guess = nearest(all[0], names);
  throw UsageError(
      "", {fmt::format("unknown command '{}'{}", all[0], guess.empty() ? "" : "; did you mean " + guess + "?")});
}

int report_usage(const UsageError& error) {
  const std::string hint = fmt::format(" (see hesse {}{}--help)", error.command, error.command.empty() ? "" : " ");
  for (size_t i = 0; i < error.problems.size(); ++i) {
    print_error(error.problems[i] + (i + 1 == error.problems.size() ? hint : ""));
  }
  return kExitUsage;
}

int run(int argc, char** argv) {
  try {
    catch_signals();
    return dispatch(Arguments(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const UsageError& error) {
    return report_usage(error);
  } catch (const Error& error) {
    print_error(error.what());
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    print_error("not enough memory");
    return exit_code(ErrorKind::kEnvironment);
  } catch (const std::exception& error) {
    print_error(fmt::format("internal error: {}; please report it", error.what()));
    return exit_code(ErrorKind::kInternal);
  }
}

}  // namespace

void print_help(const std::string& text) { Console(Manner{}).output(text); }

}  // namespace hesse

int main(int argc, char** argv) { return hesse::run(argc, argv); }
