// Facts about this process: time and memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace hesse {

int64_t peak_resident_bytes();  // the largest resident set so far
std::string processor_name();   // as the system tells it, "unknown processor" otherwise

// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace hesse
