#include "api/machine.h"

#include <fmt/format.h>

#include <string>

#include "api/prepare.h"
#include "base/process.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

std::string libraries() { return fmt::format("{}, {}", onednn_version(), lapack_version()); }

}  // namespace

void describe_machine(RunRecord& record) {
  record.version = version();
  record.processor = processor_name();
  record.simd = simd_target();
  record.libraries = libraries();
  record.threads = threads();
  record.peak_memory_bytes = peak_resident_bytes();
}

WorkDirectory::Setup work_setup(const Job& job, const std::filesystem::path& target, bool resume) {
  const Facts arithmetic = {
      {"threads", fmt::format("{}", threads())}, {"SIMD", std::string(simd_target())}, {"libraries", libraries()}};
  return {.target = target,
          .marker = kRecordFile,
          .identity = identity_of(job, version(), arithmetic),
          .units = unit_places(job),
          .resume = resume};
}

}  // namespace hesse
