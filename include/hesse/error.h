// Errors of the library. It never prints, aborts or exits: whatever stops it arrives as an `Error`.
#pragma once

#include <stdexcept>
#include <string>

namespace hesse {

// What went wrong, in the terms of the process exit codes that the command-line tool documents.
enum class ErrorKind {
  kUsage,        // exit code 2: an option or a call that cannot be meant
  kBadInput,     // exit code 3: a model, text or option file that is missing, damaged or inconsistent
  kEnvironment,  // exit code 4: disk full, no permission, not enough memory
  kInternal,     // exit code 5: a promise of our own that does not hold; please report it
  kInterrupted,  // exit code 130: the listener asked to stop; a quantization keeps what is done
};

// `text` with its control characters spelled out, "\\n": names in files may hold any.
inline std::string one_line(const std::string& text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      line += c;
    } else if (c == '\n') {
      line += "\\n";
    } else {
      line += {'\\', 'x', kDigits[byte / 16], kDigits[byte % 16]};
    }
  }
  return line;
}

// Message: place in brackets, object, both numbers, what to try. One line, whatever stands in the names.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(one_line(message)), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// The process exit code for `kind`, as in the table above.
constexpr int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kBadInput:
      return 3;
    case ErrorKind::kEnvironment:
      return 4;
    case ErrorKind::kInternal:
      return 5;
    case ErrorKind::kInterrupted:
      return 130;
  }
  return 5;
}

}  // namespace hesse
