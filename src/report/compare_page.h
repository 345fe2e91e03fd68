// The answers of several models side by side, as one HTML file without scripts and without a network.
#pragma once

#include <string>

#include "hesse/evaluation.h"

namespace hesse {

// What models wrote is escaped; bytes that are not UTF-8 become U+FFFD.
std::string compare_page(const CompareResult& result);

}  // namespace hesse
