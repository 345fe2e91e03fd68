#include "cli/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <type_traits>

#include "cli/text.h"

namespace hesse {
namespace {

constexpr int kHelpColumn = 28;
constexpr int kHelpWidth = 96;

// The word for "not NAME" where it is not "no-NAME".
std::string opposite(std::string_view name) { return name == "sym" ? "asym" : fmt::format("no-{}", name); }

std::string value_name(std::string_view name) {
  if (name == "output" || name == "against" || name == "model") return "DIR";
  if (name == "prompt" || name == "system" || name == "text") return "TEXT";
  if (name == "decode") return "IDS";
  if (name == "save-reference" || name == "prompts" || name == "html") return "FILE";
  return "WORD";
}

// A word that stands for a number.
struct NumberWord {
  std::string_view flag, word;
  double number;
};
constexpr NumberWord kNumberWords[] = {
    {"damp", "auto", 0}, {"group-size", "auto", 0}, {"pad-intermediate", "auto", -1}, {"pad-intermediate", "off", 0}};

// The row of `flag` for which `fits` holds, if there is one.
template <class Fits>
const NumberWord* number_word(std::string_view flag, Fits fits) {
  for (const NumberWord& row : kNumberWords) {
    if (row.flag == flag && fits(row)) return &row;
  }
  return nullptr;
}

template <class Number>
std::string number_text(std::string_view flag, Number number) {
  const NumberWord* row =
      number_word(flag, [&](const NumberWord& word) { return word.number == static_cast<double>(number); });
  return row != nullptr ? std::string(row->word) : fmt::format("{}", number);
}

std::string flag_names(std::string_view name) { return fmt::format("{}--{}", name == "output" ? "-o," : "", name); }

// The whole of `text` as a number; strict, since "12O" and "1e3" for an integer are slips of the hand.
template <class Number>
bool read_number(const std::string& text, Number& number) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return false;
  number = value;
  return true;
}

template <class Number>
constexpr const char* expected_number() {
  if (std::is_floating_point_v<Number>) return "a number";
  return std::is_unsigned_v<Number> ? "a whole number from 0 to 2^64 - 1" : "a whole number";
}

}  // namespace

std::string shell_word(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_of(" \t\n'\"\\$*?()[]{}<>|&;#~`!") == std::string::npos;
  if (plain) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  out += "'";
  return out;
}

const std::string kExitCodes =
    "Exit codes:\n"
    "  0    fine\n"
    "  1    finished, but with fallbacks or failed checks\n"
    "  2    a command line that cannot be meant\n"
    "  3    a model or text that is missing, damaged or inconsistent\n"
    "  4    the environment: disk full, no permission, not enough memory\n"
    "  5    an error in hesse itself; please report it\n"
    "  130  interrupted\n";

std::string spell(std::string_view name, bool field) {
  return fmt::format("--{}", field ? std::string(name) : opposite(name));
}
std::string spell(std::string_view name, double field) {
  return fmt::format("--{} {}", name, number_text(name, field));
}
std::string spell(std::string_view name, int64_t field) {
  return fmt::format("--{} {}", name, number_text(name, field));
}
std::string spell(std::string_view name, uint64_t field) { return fmt::format("--{} {}", name, field); }
std::string spell(std::string_view name, const std::string& field) {
  return fmt::format("--{} {}", name, shell_word(field));
}
std::string spell(std::string_view name, const std::vector<std::string>& field) {
  std::string text = fmt::format("--{}", name);
  for (const std::string& value : field) text += ' ' + shell_word(value);
  return text;
}

Flags::Flags(Manual manual) : manual_(std::move(manual)), app_(std::make_unique<CLI::App>()) {
  app_->set_help_flag("-h,--help");
  app_->allow_extras();  // what nobody knows is reported in our words
}

Flags::~Flags() = default;

void Flags::show(std::string_view name, std::string_view value, std::string_view help, std::string_view standard) {
  names_.push_back(fmt::format("--{}", name));
  if (name == "output") names_.push_back("-o");
  Row row;
  row.spelling = fmt::format("{}--{}{}{}", name == "output" ? "-o, " : "", name, value.empty() ? "" : " ", value);
  row.text = standard.empty() ? std::string(help) : fmt::format("{} [{}]", help, standard);
  rows_.push_back(std::move(row));
}

void Flags::add_model(std::string& field) {
  // Required for the parser alone: it keeps a last argument for MODEL when a flag that takes several stands before it.
  app_->add_option("MODEL", CLI::callback_t([&field](const CLI::results_t& values) {
                     field = values.back();
                     return true;
                   }))
      ->required();
}

void Flags::add_models(std::string& first, std::vector<std::string>& others) {
  add_model(first);
  others_ = &others;
}

void Flags::add_manner(Manner& manner) {
  auto* quiet = app_->add_flag("--quiet", manner.quiet);
  app_->add_flag("--verbose", manner.verbose)->excludes(quiet);
  app_->add_flag("--json", manner.json);
  show("json", "", "the result as one JSON object on standard output, the rest on standard error", "");
  show("quiet", "", "say nothing but errors and the result that was asked for", "");
  show("verbose", "", "say more", "");
}

void Flags::add(std::string_view name, bool& field, std::string_view help) {
  app_->add_flag(fmt::format("--{},!--{}", name, opposite(name)), field);
  show(name, "", help, spell(name, field));
  names_.push_back(fmt::format("--{}", opposite(name)));
  rows_.back().spelling =
      name == "sym" ? fmt::format("--{}, --{}", name, opposite(name)) : fmt::format("--[no-]{}", name);
}

// One value, or a problem that is kept.
bool Flags::single(const std::string& name, const std::vector<std::string>& values) {
  if (values.size() == 1 && std::find(names_.begin(), names_.end(), values[0]) == names_.end()) return true;
  problems_.push_back(values.size() == 1 ? fmt::format("{} needs a value before {}", name, values[0])
                                         : fmt::format("{} is given {} times", name, values.size()));
  return false;
}

template <class Number>
void Flags::add_number(std::string_view name, Number& field, std::string_view help) {
  const auto read = [this, &field, name = std::string(name),
                     flag = fmt::format("--{}", name)](const CLI::results_t& values) {
    const NumberWord* row = number_word(name, [&](const NumberWord& word) { return word.word == values[0]; });
    if (row != nullptr && values.size() == 1) {
      field = static_cast<Number>(row->number);
    } else if (single(flag, values) && !read_number(values[0], field)) {
      problems_.push_back(fmt::format("{} '{}': expected {}", flag, values[0], expected_number<Number>()));
    }
    return true;
  };
  app_->add_option(flag_names(name), CLI::callback_t(read))->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  show(name, std::is_floating_point_v<Number> ? "X" : "N", help, number_text(name, field));
}

void Flags::add(std::string_view name, int& field, std::string_view help) { add_number(name, field, help); }
void Flags::add(std::string_view name, int64_t& field, std::string_view help) { add_number(name, field, help); }
void Flags::add(std::string_view name, uint64_t& field, std::string_view help) { add_number(name, field, help); }
void Flags::add(std::string_view name, double& field, std::string_view help) { add_number(name, field, help); }

void Flags::add(std::string_view name, std::string& field, std::string_view help) {
  const auto read = [this, &field, flag = fmt::format("--{}", name)](const CLI::results_t& values) {
    single(flag, values);
    field = values.back();
    return true;
  };
  app_->add_option(flag_names(name), CLI::callback_t(read))->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  show(name, value_name(name), help, field);
}

void Flags::add(std::string_view name, std::vector<std::string>& field, std::string_view help) {
  const auto read = [this, &field, flag = fmt::format("--{}", name)](const CLI::results_t& values) {
    field = values;
    for (const std::string& value : values) single(flag, {value});
    if (values.size() > 1) greedy_ = flag;
    return true;
  };
  app_->add_option(flag_names(name), CLI::callback_t(read))
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  show(name, "FILE...", help, "");
}

void Flags::refuse_extras(const std::vector<std::string>& extras) const {
  std::vector<std::string> problems;
  for (const std::string& extra : extras) {
    if (extra.size() < 2 || extra[0] != '-') continue;
    const std::string flag = extra.substr(0, extra.find('='));
    const std::string guess = nearest(flag, names_);
    problems.push_back(guess.empty() ? fmt::format("unknown flag '{}'", flag)
                                     : fmt::format("unknown flag '{}'; did you mean {}?", flag, guess));
  }
  // The values of unknown flags look like arguments too many; speak of those only when nothing else is wrong.
  if (problems.empty()) {
    for (const std::string& extra : extras) problems.push_back(fmt::format("unexpected argument '{}'", extra));
  }
  if (!problems.empty()) throw UsageError(manual_.command, std::move(problems));
}

// What stands behind the first model; with an unknown flag among it, some may be values of that.
void Flags::take_models(std::vector<std::string>& extras) const {
  const auto flag = [](const std::string& extra) { return extra.starts_with('-'); };
  if (std::any_of(extras.begin(), extras.end(), flag)) return;
  *others_ = std::move(extras);
  extras.clear();
}

bool Flags::parse(const std::vector<std::string>& arguments) {
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants it
  try {
    app_->parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return false;
  } catch (const CLI::RequiredError&) {
    // No MODEL: problems() of the options says so, together with the rest.
    if (!greedy_.empty()) problems_.push_back(fmt::format("{} takes all that follows; put MODEL first", greedy_));
  } catch (const CLI::ArgumentMismatch&) {
    throw UsageError(manual_.command, {fmt::format("{} needs a value", arguments.back())});
  } catch (const CLI::ParseError& error) {
    throw UsageError(manual_.command, {error.what()});
  }
  std::vector<std::string> extras = app_->remaining();
  if (others_ != nullptr) take_models(extras);
  refuse_extras(extras);
  return true;
}

std::string Flags::help() const {
  std::string text = fmt::format("hesse {}: {}\n\nExamples:\n{}\nUsage: hesse {} {}\n\nFlags [default]:\n",
                                 manual_.command, manual_.summary, manual_.examples, manual_.command, manual_.synopsis);
  for (const Row& row : rows_) {
    std::string line = "  " + row.spelling;
    if (columns(line) + 2 > kHelpColumn) {
      line += '\n' + std::string(kHelpColumn, ' ');
    } else {
      line.resize(kHelpColumn, ' ');
    }
    text += line + wrap(row.text, kHelpColumn, kHelpWidth) + '\n';
  }
  return text + '\n' + kExitCodes;
}

}  // namespace hesse
