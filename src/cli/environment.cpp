#include "cli/environment.h"

#include <fmt/format.h>

#include <string_view>

namespace hesse {
namespace {

struct Variable {
  const char* name;
  bool (*harmless)(std::string_view value, int threads_asked);
  const char* effect;
};

bool never(std::string_view, int) { return false; }
bool off(std::string_view value, int) { return value.empty() || value == "false" || value == "FALSE" || value == "0"; }
bool same_threads(std::string_view value, int threads_asked) { return value == std::to_string(threads_asked); }

constexpr Variable kVariables[] = {
    {"OMP_NUM_THREADS", same_threads, "is not used; give --threads instead"},
    {"OMP_THREAD_LIMIT", never, "may allow fewer threads than --threads says"},
    {"OMP_DYNAMIC", off, "lets the number of threads change, and with it the last digits of results; unset it"},
    {"OMP_PROC_BIND", off, "can tie this process to one processor; unset it, or give --threads"},
    {"GOMP_CPU_AFFINITY", never, "can tie this process to one processor; unset it, or give --threads"},
    {"OPENBLAS_NUM_THREADS", same_threads, "may slow the factorizations; unset it"},
    {"OPENBLAS_CORETYPE", never, "makes OpenBLAS use the kernels of that processor; unset it unless you mean it"},
    {"ONEDNN_MAX_CPU_ISA", never, "keeps oneDNN from newer instructions; unset it unless you mean it"},
    {"DNNL_MAX_CPU_ISA", never, "keeps oneDNN from newer instructions; unset it unless you mean it"},
};

}  // namespace

std::vector<std::string> environment_warnings(int threads_asked, const std::function<const char*(const char*)>& get) {
  std::vector<std::string> warnings;
  for (const Variable& variable : kVariables) {
    const char* value = get(variable.name);
    if (value == nullptr || variable.harmless(value, threads_asked)) continue;
    warnings.push_back(fmt::format("{}={} {}", variable.name, value, variable.effect));
  }
  return warnings;
}

}  // namespace hesse
