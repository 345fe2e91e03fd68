#include <fmt/format.h>

#include <cmath>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "eval",
    "perplexity of a model, before or after quantization",
    "MODEL --text FILE... [flags]",
    "  hesse eval Llama-3.2-1B --text heldout.txt\n"
    "  hesse eval Llama-3.2-1B-4bit --text heldout.txt\n"
    "      the same text and windows, so that the two numbers compare\n"
    "  hesse eval MODEL --text heldout.txt --window 2048 --windows 20 --json\n"
    "      the first 20 windows only; the result for a program\n"
    "  hesse eval Llama-3.2-1B-4bit --text heldout.txt --against Llama-3.2-1B\n"
    "      how far it has moved from the original: KL divergence, agreement\n",
};

std::string result_line(const EvalResult& result) {
  const double rate = result.seconds > 0 ? static_cast<double>(result.predictions) / result.seconds : 0;
  std::string line = fmt::format("perplexity {:.4f}  ({} of {} tokens, {:.0f} tokens/s, {})\n", result.perplexity,
                                 counted(result.windows, "window"), result.window, rate, result.format);
  if (result.against) {
    const AgainstResult& against = *result.against;
    line +=
        fmt::format("reference  {:.4f}  ({:+.2f} %; KL {:.5f} nats a token, the same most likely token in {:.2f} %)\n",
                    against.perplexity, 100 * (result.perplexity / against.perplexity - 1), against.kl,
                    100 * against.top1_agreement);
  }
  return line;
}

}  // namespace

int run_eval(const Arguments& arguments) {
  EvalOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  Console console(manner);
  warn_about_environment(console, options.threads);
  const EvalResult result = evaluate(options, console);
  console.detail(fmt::format("{:.6f} nats a token, {}, {}", result.mean_nll, counted(result.predictions, "prediction"),
                             format_duration(result.seconds)));
  console.output(manner.json ? to_json(result) + '\n' : result_line(result));
  return std::isfinite(result.perplexity) ? kExitFine : kExitNotAllWell;
}

}  // namespace hesse
