#include "cli/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> warnings(int threads, const std::map<std::string, std::string>& set) {
  return environment_warnings(threads, [&](const char* name) -> const char* {
    const auto found = set.find(name);
    return found == set.end() ? nullptr : found->second.c_str();
  });
}

TEST(Environment, NothingSetNothingSaid) { EXPECT_THAT(warnings(0, {}), IsEmpty()); }

TEST(Environment, OnlyWhatHurtsIsNamed) {
  EXPECT_THAT(warnings(4, {{"OMP_NUM_THREADS", "4"}, {"OMP_DYNAMIC", "false"}, {"OMP_STACKSIZE", "1M"}}), IsEmpty());
  EXPECT_THAT(warnings(0, {{"OMP_NUM_THREADS", "4"}}), ElementsAre(HasSubstr("OMP_NUM_THREADS=4")));
  EXPECT_THAT(warnings(2, {{"OPENBLAS_CORETYPE", "Haswell"}, {"OMP_PROC_BIND", "true"}}),
              ElementsAre(HasSubstr("OMP_PROC_BIND=true"), HasSubstr("OPENBLAS_CORETYPE=Haswell")));
}

}  // namespace
}  // namespace hesse
