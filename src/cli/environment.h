// Environment variables that work against us. Hesse takes its settings from flags alone; OpenMP, OpenBLAS and oneDNN
// read theirs from the environment.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace hesse {

// One line for each variable that is set and hurts. `get` returns its value, nullptr when it is not set.
std::vector<std::string> environment_warnings(int threads_asked, const std::function<const char*(const char*)>& get);

}  // namespace hesse
