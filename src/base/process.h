// Facts about this process: time and memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace hesse {

int64_t resident_bytes();         // at this moment; 0 when the system does not tell
int64_t peak_resident_bytes();    // the largest resident set so far
int64_t physical_memory_bytes();  // of this machine, or what a control group leaves this process of it
// Of it, what others have not taken and a limit on the address space allows; caches that can be dropped count as free.
int64_t available_memory_bytes();
bool address_space_is_limited();  // by ulimit -v
std::string processor_name();     // as the system tells it, "unknown processor" otherwise

std::string host_name();
int64_t process_id();
bool process_is_gone(int64_t process);  // of this host
int64_t unix_seconds();                 // now

// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const { return now() - start_; }
  static double now() {  // seconds on a clock that never goes back
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

 private:
  double start_ = now();
};

}  // namespace hesse
