#include "base/process.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <limits>

#include "base/threads.h"

namespace hesse {

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  return file >> all >> resident ? resident * static_cast<int64_t>(sysconf(_SC_PAGE_SIZE)) : 0;
}

int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

namespace {

// A number of bytes that a file consists of; -1 when it is none, as "max".
int64_t number_in(const std::string& name) {
  std::ifstream file(name);
  int64_t bytes = 0;
  return file >> bytes && bytes >= 0 ? bytes : -1;
}

// The number behind `key` in a file of "key value" lines; 0 when it is not there.
int64_t number_behind(const std::string& name, const std::string& key) {
  std::ifstream file(name);
  std::string word;
  int64_t value = 0;
  while (file >> word) {
    if (word == key && file >> value) return value;
  }
  return 0;
}

// The files of a control group, version 2 and version 1.
struct ControlGroups {
  const char* controller;  // as /proc/self/cgroup names it
  const char* root;
  const char* limit;
  const char* used;
  const char* cache;  // key of pages that can be dropped, in memory.stat
};
constexpr ControlGroups kControlGroups[] = {
    {"", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"},
    {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};

// The group of this process: "/a/b"; "/" when it is not told, as inside a container, whose root is its own group.
std::string path_of_group(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "4:memory:/a/b"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (names.find("," + controller + ",") != std::string::npos) return line.substr(second + 1);
  }
  return "/";
}

// Calls visit(limit, used, bytes that can be dropped) for every group that limits this process, the outer ones too.
template <class Visit>
void for_each_limit(Visit visit) {
  for (const ControlGroups& groups : kControlGroups) {
    std::string path = path_of_group(groups.controller);
    while (!path.empty()) {
      const std::string folder = groups.root + (path == "/" ? "" : path) + "/";
      const int64_t limit = number_in(folder + groups.limit), used = number_in(folder + groups.used);
      if (limit > 0) visit(limit, used, number_behind(folder + "memory.stat", groups.cache));
      path = path == "/" ? "" : path.find_last_of('/') == 0 ? "/" : path.substr(0, path.find_last_of('/'));
    }
  }
}

// What a limit on the address space (ulimit -v) leaves for data; -1 without a limit. Part of it is reserved without
// being used: the heap and the stack of each thread, and buffers of the libraries.
int64_t address_space_left() {
  constexpr int64_t kReserved = int64_t{160} << 20;
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return -1;
  std::ifstream file("/proc/self/statm");
  int64_t pages = 0;
  file >> pages;
  const auto most = static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<int64_t>::max()));
  const int64_t used = pages * static_cast<int64_t>(sysconf(_SC_PAGE_SIZE));
  return std::max<int64_t>(0, most - used - kReserved * threads());
}

}  // namespace

int64_t physical_memory_bytes() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(sysconf(_SC_PAGE_SIZE));
  for_each_limit([&](int64_t limit, int64_t, int64_t) { bytes = std::min(bytes, limit); });
  return bytes;
}

bool address_space_is_limited() { return address_space_left() >= 0; }

int64_t available_memory_bytes() {
  constexpr int64_t kKibibyte = 1024;
  const int64_t free = number_behind("/proc/meminfo", "MemAvailable:") * kKibibyte;
  int64_t bytes = free > 0 ? std::min(free, physical_memory_bytes()) : physical_memory_bytes();
  for_each_limit([&](int64_t limit, int64_t used, int64_t droppable) {
    if (used >= 0) bytes = std::min(bytes, std::max<int64_t>(0, limit - used) + droppable);
  });
  if (const int64_t left = address_space_left(); left >= 0) bytes = std::min(bytes, left);
  return std::min(bytes, physical_memory_bytes());
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown host";
}

int64_t process_id() { return ::getpid(); }

bool process_is_gone(int64_t process) { return ::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH; }

int64_t unix_seconds() { return static_cast<int64_t>(std::time(nullptr)); }

}  // namespace hesse
