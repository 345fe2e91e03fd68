// What checks find, gathered. An error keeps its kind, so that a run that must not begin can throw it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "hesse/error.h"
#include "hesse/types.h"

namespace hesse {

// What stands beside a thrown Error to make it a finding.
struct Advice {
  std::string check;
  std::string why;
  std::string remedy;
};

class Findings {
 public:
  void good(std::string check, std::string what) { add({Severity::kGood, std::move(check), std::move(what), {}, {}}); }
  void note(std::string check, std::string what, std::string why = {}, std::string remedy = {});
  void warning(std::string check, std::string what, std::string why, std::string remedy);
  // `what` is the message that the run would die with: "[place] object: both numbers".
  void error(const Error& error, const Advice& advice);
  // A finding as it is; an error counts as one of bad input.
  void add(Finding finding);

  // Runs `body`. An Error about the input or its use becomes a finding; every other kind goes on up. Whether all went
  // well.
  template <class Body>
  bool attempt(const Advice& advice, Body&& body) {
    try {
      body();
      return true;
    } catch (const Error& caught) {
      if (caught.kind() != ErrorKind::kBadInput && caught.kind() != ErrorKind::kUsage) throw;
      error(caught, advice);
      return false;
    }
  }

  bool any_error() const { return !errors_.empty(); }
  // Throws the first error, if there is one, and says how many more there are.
  void throw_if_error() const;

  const std::vector<Finding>& list() const { return list_; }
  // The worst first, otherwise in the order of coming.
  std::vector<Finding> worst_first() const;

 private:
  std::vector<Finding> list_;
  std::vector<Error> errors_;
};

}  // namespace hesse
