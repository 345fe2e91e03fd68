#include "base/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hesse {
namespace {

TEST(Findings, TheWorstComesFirstAndEqualsKeepTheirOrder) {
  Findings findings;
  findings.good("a", "1");
  findings.warning("b", "2", "", "");
  findings.note("c", "3");
  findings.error(Error(ErrorKind::kUsage, "4"), {"d", "why", "remedy"});
  findings.warning("e", "5", "", "");
  std::string order;
  for (const Finding& finding : findings.worst_first()) order += finding.check;
  EXPECT_EQ(order, "dbeca");
}

TEST(Findings, OnlyErrorsOfInputAndUseAreCaught) {
  const Advice advice = {"x", "because", "do"};
  for (const ErrorKind kind : {ErrorKind::kUsage, ErrorKind::kBadInput}) {
    Findings findings;
    EXPECT_FALSE(findings.attempt(advice, [&] { throw Error(kind, "what"); }));
    ASSERT_EQ(findings.list().size(), 1u);
    EXPECT_EQ(findings.list()[0].what, "what");
    EXPECT_EQ(findings.list()[0].remedy, "do");
    EXPECT_THROW(findings.throw_if_error(), Error);
  }
  for (const ErrorKind kind : {ErrorKind::kEnvironment, ErrorKind::kInternal, ErrorKind::kInterrupted}) {
    Findings findings;
    EXPECT_THROW(findings.attempt(advice, [&] { throw Error(kind, "what"); }), Error);
    EXPECT_TRUE(findings.list().empty());
  }
  Findings fine;
  EXPECT_TRUE(fine.attempt(advice, [] {}));
  EXPECT_NO_THROW(fine.throw_if_error());
}

TEST(Findings, TheFirstErrorIsThrownWithItsKindAndTheRestIsCounted) {
  Findings findings;
  findings.error(Error(ErrorKind::kUsage, "first"), {"a", "", ""});
  findings.add({Severity::kError, "b", "second", "", ""});
  findings.add({Severity::kWarning, "c", "third", "", ""});
  try {
    findings.throw_if_error();
    FAIL() << "nothing thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_EQ(std::string(error.what()), "first (and 1 more error; `hesse check` tells all)");
  }
}

}  // namespace
}  // namespace hesse
