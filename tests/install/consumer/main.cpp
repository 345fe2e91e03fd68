// Compiled against the installed package by the test install.FindPackage.
#include <hesse/error.h>

// A warning under the flags that Hesse's own code is built with: those must not reach the users of the library.
static double narrowed(int unused) { return static_cast<float>(0.1); }

int main(int, char**) {
  static_assert(__cplusplus >= 202002L, "hesse::hesse asks for C++20 by itself");
  try {
    throw hesse::Error(hesse::ErrorKind::kBadInput, "[consumer] thrown and caught");
  } catch (const hesse::Error& error) {
    return hesse::exit_code(error.kind()) == 3 && narrowed(0) > 0 ? 0 : 1;
  }
}
