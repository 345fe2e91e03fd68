// The tool as a process of its own, as a user starts it.
#pragma once

#include <stdio.h>
#include <sys/wait.h>

#include <array>
#include <string>

namespace hesse {

struct ToolOutcome {
  int code = -1;
  std::string out;
};

// Runs the tool in a shell; `redirect` says which of its streams are read: "2>/dev/null", "2>&1"; `before` is what the
// shell does first: "ulimit -v 1000000; ".
inline ToolOutcome run_tool(const std::string& arguments, const std::string& redirect, const std::string& before = "") {
  ToolOutcome outcome;
  const std::string command = before + "'" + HESSE_TOOL + "' " + arguments + " " + redirect;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  std::array<char, 4096> buffer;
  for (size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) outcome.out.append(buffer.data(), n);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  return outcome;
}

}  // namespace hesse
