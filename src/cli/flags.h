// The flags of one command, made from its visitor in hesse/options.h: parsing, help and spelling from one list.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace CLI {
class App;
}

namespace hesse {

// What the command line asks for and nobody can do. Exit code 2.
struct UsageError : std::runtime_error {
  UsageError(std::string in_command, std::vector<std::string> all)
      : std::runtime_error("usage"), command(std::move(in_command)), problems(std::move(all)) {}
  std::string command;  // "quantize"; empty: none yet
  std::vector<std::string> problems;
};

// How a command speaks; the same flags for all of them.
struct Manner {
  bool json = false;
  bool quiet = false;
  bool verbose = false;
};

// What help says besides the flags.
struct Manual {
  std::string command;   // "quantize"
  std::string summary;   // one line
  std::string synopsis;  // "MODEL -o OUT --calib FILE... [flags]"
  std::string examples;  // indented by two
};

std::string shell_word(const std::string& text);  // in quotes where a shell would change it

extern const std::string kExitCodes;  // the last paragraph of every help text

// "--group-size 128", "--asym", "--no-act-order", "--calib a b": flags as a user would write them.
std::string spell(std::string_view name, bool field);
std::string spell(std::string_view name, double field);
std::string spell(std::string_view name, int64_t field);
std::string spell(std::string_view name, uint64_t field);
std::string spell(std::string_view name, const std::string& field);
std::string spell(std::string_view name, const std::vector<std::string>& field);
inline std::string spell(std::string_view name, int field) { return spell(name, int64_t{field}); }

class Flags {
 public:
  explicit Flags(Manual manual);
  ~Flags();

  // Each keeps a reference to the field, whose value is the default, until parse() has returned.
  void add_model(std::string& field);
  void add_models(std::string& first, std::vector<std::string>& others);
  void add_manner(Manner& manner);
  template <class Options>
  void add_options(Options& options) {
    visit_options(options,
                  [this](std::string_view name, auto& field, std::string_view help) { this->add(name, field, help); });
  }
  void add(std::string_view name, bool& field, std::string_view help);
  void add(std::string_view name, int& field, std::string_view help);
  void add(std::string_view name, int64_t& field, std::string_view help);
  void add(std::string_view name, uint64_t& field, std::string_view help);
  void add(std::string_view name, double& field, std::string_view help);
  void add(std::string_view name, std::string& field, std::string_view help);
  void add(std::string_view name, std::vector<std::string>& field, std::string_view help);

  // Fills the fields. False: help was asked for. Values that do not parse are kept in problems(), their fields as they
  // were, so that all problems can be told together. Throws UsageError for flags that do not exist.
  bool parse(const std::vector<std::string>& arguments);
  const std::vector<std::string>& problems() const { return problems_; }
  std::string help() const;

 private:
  struct Row {
    std::string spelling;  // "-o, --output DIR"
    std::string text;      // with the default
  };
  template <class Number>
  void add_number(std::string_view name, Number& field, std::string_view help);
  bool single(const std::string& name, const std::vector<std::string>& values);
  void take_models(std::vector<std::string>& extras) const;
  void refuse_extras(const std::vector<std::string>& extras) const;
  void show(std::string_view name, std::string_view value_name, std::string_view help, std::string_view standard);

  Manual manual_;
  std::unique_ptr<CLI::App> app_;
  std::vector<Row> rows_;
  std::vector<std::string> names_;  // "--bits"
  std::vector<std::string> problems_;
  std::vector<std::string>* others_ = nullptr;  // models behind the first; none: there may be one only
  std::string greedy_;                          // the flag that has taken several values, MODEL perhaps among them
};

}  // namespace hesse
