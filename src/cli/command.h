// The commands of the tool. Each reads its arguments, calls the library and returns the exit code; what stops it is
// thrown: UsageError, or the Error of the library.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "cli/flags.h"
#include "hesse/options.h"

namespace hesse {

using Arguments = std::vector<std::string>;  // what follows the name of the command

int run_check(const Arguments& arguments);
int run_quantize(const Arguments& arguments);
int print_recipe(const QuantizeOptions& options, const Manner& manner);  // of check and quantize
int run_eval(const Arguments& arguments);
int run_generate(const Arguments& arguments);
int run_compare(const Arguments& arguments);
int run_convert(const Arguments& arguments);
int run_verify(const Arguments& arguments);
int run_inspect(const Arguments& arguments);
int run_tokenize(const Arguments& arguments);
int run_bench(const Arguments& arguments);
int run_data(const Arguments& arguments);
int run_diagnose(const Arguments& arguments);
int run_report(const Arguments& arguments);

// Exit codes that no Error stands for; the others: exit_code() of hesse/error.h.
constexpr int kExitFine = 0;
constexpr int kExitNotAllWell = 1;
constexpr int kExitUsage = 2;
constexpr int kExitStops = 3;  // `check`: quantize would stop

void print_help(const std::string& text);

// The options that the preset among `arguments` means, if there is one. What the other flags change is the preset's, so
// it is looked for before they are read.
QuantizeOptions options_of_preset(const Arguments& arguments);

// Where a command keeps its model.
template <class Options>
std::string& model_of(Options& options) {
  if constexpr (requires { options.quantize.model; }) {
    return options.quantize.model;
  } else {
    return options.model;
  }
}

struct AnyVisitor {
  template <class... Any>
  void operator()(Any&&...) const {}
};

// Fills `options` and `manner`. False: help was asked for, and has been printed. Throws UsageError with every problem.
template <class Options>
bool parse_command(const Manual& manual, const Arguments& arguments, Options& options, Manner& manner) {
  Flags flags(manual);
  // `bench` does without a model, and of `data` it is not the object; with one, it is a flag like others.
  constexpr bool flag = std::is_same_v<Options, BenchOptions> || std::is_same_v<Options, DataOptions>;
  if constexpr (requires { options.others; }) {
    flags.add_models(options.model, options.others);
  } else if constexpr (!flag) {
    flags.add_model(model_of(options));
  }
  if constexpr (requires { visit_options(options, AnyVisitor{}); }) flags.add_options(options);
  flags.add_manner(manner);
  if (!flags.parse(arguments)) {
    print_help(flags.help());
    return false;
  }
  std::vector<std::string> problems = flags.problems();
  const std::vector<std::string> more = options.problems();
  problems.insert(problems.end(), more.begin(), more.end());
  if (!problems.empty()) throw UsageError(manual.command, std::move(problems));
  return true;
}

}  // namespace hesse
