// Results of `eval` for people. Pure functions: results in, text out.
#pragma once

#include <string>

#include "hesse/evaluation.h"

namespace hesse {

// A few lines for one model; one table for several, the first line of it their names.
std::string eval_text(const EvalResult& result);
// Loss, and KL divergence where there is a reference, by the number of tokens before.
std::string positions_text(const EvalResult& result);
std::string tasks_text(const TasksResult& result);

}  // namespace hesse
