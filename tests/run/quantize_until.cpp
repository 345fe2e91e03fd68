// Runs the small model until the call on the file system that it is told, and ends there as it is told.
//
//   quantize_until MODEL OUT WHAT CALL NUMBER FLAGS
//
// WHAT: none, before, inside, behind (of the call the process is killed), fail (with errno NUMBER), always (all calls
// from there on), power; or make, which makes MODEL. FLAGS are those of small_options(). Prints a line for each linear,
// and at the end the number of calls.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "io/power_cut_file_system.h"
#include "run/small_run.h"

namespace hesse {
namespace {

class Tell : public Listener {
 public:
  void on_linear(const LinearRecord&) override {
    if (::write(STDOUT_FILENO, "linear\n", 7) != 7) ::_exit(1);
  }
};

Fault::What what_of(const std::string& name) {
  using What = Fault::What;
  if (name == "before") return What::kKillBefore;
  if (name == "inside") return What::kKillInside;
  if (name == "behind") return What::kKillBehind;
  if (name == "fail") return What::kFail;
  return name == "always" ? What::kFailAlways : What::kNone;
}

int run(const std::string& model, const std::string& output, const std::string& flags) {
  Tell listener;
  try {
    quantize_with(small_options(model, output, flags), listener, small_settings(has(flags, 's')));
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return exit_code(error.kind());
  }
}

}  // namespace
}  // namespace hesse

int main(int argc, char** argv) {
  using namespace hesse;
  if (argc != 7) return 2;
  const std::string what = argv[3];
  if (what == "make") {
    SmallModel::make(argv[1]);
    return 0;
  }
  const int64_t call = std::atoll(argv[4]);
  int code = 0;
  int64_t calls = 0;
  if (what == "power") {
    const std::string trash = std::string(argv[2]) + ".trash";
    std::filesystem::create_directory(trash);
    PowerCutFileSystem disk(trash, call);
    code = run(argv[1], argv[2], argv[6]);
    calls = disk.calls();
  } else {
    FaultyFileSystem disk({.what = what_of(what), .call = call, .number = std::atoi(argv[5]), .real_sync = false});
    code = run(argv[1], argv[2], argv[6]);
    calls = disk.calls();
  }
  std::printf("%lld\n", static_cast<long long>(calls));
  return code;
}
