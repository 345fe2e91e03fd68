#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/text.h"
#include "cli/vote.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "compare",
    "answers of several models side by side",
    "MODEL MODEL [MODEL...] --prompts FILE [flags]",
    "  hesse compare Llama-3.2-1B Llama-3.2-1B-4bit --prompts prompts.txt\n"
    "      a prompt a line; a bar stands where an answer parts from that of the first model\n"
    "  hesse compare Llama-3.2-1B-Instruct Llama-3.2-1B-Instruct-4bit --prompts prompts.jsonl --chat --html page.html\n"
    "      in the chat template; a page as well\n"
    "  hesse compare A B C --prompts prompts.txt --blind\n"
    "      vote without knowing whose answer is whose; with --html a page when the vote is over\n",
};

constexpr std::string_view kPartsHere = "\xE2\x96\x8F";  // a thin bar, U+258F

std::string answer_text(const std::string& name, const ComparedAnswer& answer) {
  std::string text = answer.text;
  if (answer.parts_at_byte >= 0) text.insert(static_cast<size_t>(answer.parts_at_byte), kPartsHere);
  std::string where;
  if (answer.parts_at_token >= 0) where = fmt::format(" (parts at token {})", answer.parts_at_token + 1);
  return fmt::format("\n[{}]{}\n{}\n", name, where, text);
}

std::string compare_text(const CompareResult& result) {
  std::string text;
  int64_t same = 0, answers = 0;
  for (const ComparedPrompt& prompt : result.prompts) {
    text += fmt::format("--- {}\n", prompt.prompt);
    for (size_t m = 0; m < prompt.answers.size(); ++m) text += answer_text(result.models[m], prompt.answers[m]);
    text += '\n';
    const auto is_same = [](const ComparedAnswer& answer) { return answer.parts_at_byte < 0; };
    same += std::count_if(prompt.answers.begin() + 1, prompt.answers.end(), is_same);
    answers += static_cast<int64_t>(prompt.answers.size()) - 1;
  }
  return text + fmt::format("{} of {} answers are those of {}; {}\n", same, answers, result.models[0],
                            format_duration(result.seconds));
}

Tally vote(const CompareResult& result, Console& console) {
  return take_votes(result, [&](const std::string& text) -> std::optional<std::string> {
    console.output(text);
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  });
}

}  // namespace

int run_compare(const Arguments& arguments) {
  CompareOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  if (options.blind && manner.json) throw UsageError("compare", {"blind asks for votes; leave --json out"});
  if (options.blind && (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0)) {
    throw UsageError("compare", {"blind needs a terminal to ask for votes on; leave it out, or look at --html"});
  }
  Console console(manner);
  warn_about_environment(console, options.threads);
  CompareResult result = compare(options, console);
  if (manner.json) {
    console.output(to_json(result) + '\n');
  } else if (options.blind) {
    const Tally tally = vote(result, console);
    console.output(tally_text(result, tally));
    result.votes = tally.votes;
    if (!options.html.empty()) write_page(result, options.html);
  } else {
    console.output(compare_text(result));
  }
  return kExitFine;
}

}  // namespace hesse
