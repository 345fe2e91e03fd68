#include <cmath>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/eval_text.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "eval",
    "perplexity of models, before or after quantization; what was lost; tasks",
    "MODEL [MODEL...] --text FILE... | --task FILE... [flags]",
    "  hesse eval Llama-3.2-1B --text heldout.txt\n"
    "  hesse eval Llama-3.2-1B-4bit --text heldout.txt --against Llama-3.2-1B\n"
    "      how far it has moved from the original: KL divergence, agreement\n"
    "  hesse eval Llama-3.2-1B Llama-3.2-1B-4bit Llama-3.2-1B-3bit --text heldout.txt\n"
    "      one table on the same windows; the first is the reference of the others\n"
    "  hesse eval Llama-3.2-1B --text heldout.txt --save-reference original.ref\n"
    "  hesse eval Llama-3.2-1B-4bit --text heldout.txt --against original.ref\n"
    "      what the original says is kept, and read in place of running it again\n"
    "  hesse eval Llama-3.2-1B-4bit --text heldout.txt --against Llama-3.2-1B --attribute\n"
    "      which of its blocks cause how much of the KL divergence\n"
    "  hesse eval Llama-3.2-1B Llama-3.2-1B-4bit --task arc-easy.jsonl\n"
    "      how often they choose right among the choices of a question\n"
    "  hesse eval MODEL --text heldout.txt --window 2048 --windows 20 --json\n"
    "      the first 20 windows only; the result for a program\n",
};

bool finite(const EvalResult& result) {
  for (const EvalResult& other : result.others) {
    if (!std::isfinite(other.perplexity)) return false;
  }
  return std::isfinite(result.perplexity);
}

}  // namespace

int run_eval(const Arguments& arguments) {
  EvalOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  Console console(manner);
  warn_about_environment(console, options.threads);
  if (!options.task.empty()) {
    const TasksResult result = evaluate_tasks(options, console);
    console.output(manner.json ? to_json(result) + '\n' : tasks_text(result));
    return kExitFine;
  }
  const EvalResult result = evaluate(options, console);
  console.output(manner.json ? to_json(result) + '\n' : eval_text(result));
  if (manner.verbose && !manner.json) console.output(positions_text(result));
  return finite(result) ? kExitFine : kExitNotAllWell;
}

}  // namespace hesse
