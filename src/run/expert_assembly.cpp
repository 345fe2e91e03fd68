#include "run/expert_assembly.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/threads.h"
#include "hesse/error.h"
#include "run/fates.h"

namespace hesse {
namespace {

constexpr int64_t kBytes = 2;
constexpr std::string_view kWeight = ".weight";

bool is_packed_part(const Job& job, const std::string& name, const ExpertPart& part) {
  return !part.bias && is_packed(fate_of(job, name.substr(0, name.size() - kWeight.size())));
}

// `from` [out, in] of 16 bits to its places in the whole.
void scatter(const ExpertPart& part, const std::byte* from, std::byte* whole) {
  const ExpertsTensor& all = *part.of;
  parallel_for(part.out, [&](int64_t r) {
    const int64_t output = part.first + r;
    for (int64_t i = 0; i < all.in; ++i)
      std::memcpy(whole + all.index(part.expert, output, i) * kBytes, from + (r * all.in + i) * kBytes, kBytes);
  });
}

// A linear that stays as it is, in the type of the result.
std::vector<std::byte> rounded(const ExpertPart& part, const std::string& name, DType dtype) {
  const int64_t in = part.of->in;
  std::vector<std::byte> bytes(static_cast<size_t>(part.out * in * kBytes));
  std::vector<float> row(static_cast<size_t>(in));
  for (int64_t r = 0; r < part.out; ++r) {
    part.read(r, 1, row.data());
    for (int64_t i = 0; i < in; ++i) {
      const float value = row[static_cast<size_t>(i)];
      const uint16_t bits = dtype == DType::kF16 ? float_to_f16(value) : float_to_bf16(value);
      if (dtype == DType::kF16 && std::isfinite(value) && !std::isfinite(f16_to_float(bits))) {
        throw Error(ErrorKind::kUsage,
                    fmt::format("[fp16] {}: a weight is {}, the largest is 65504; take --format bf16", name, value));
      }
      std::memcpy(bytes.data() + (r * in + i) * kBytes, &bits, kBytes);
    }
  }
  return bytes;
}

}  // namespace

ExpertAssembly::ExpertAssembly(const Job& job, TensorSink sink) : job_(job), sink_(std::move(sink)) {}

ExpertAssembly::Whole ExpertAssembly::begin(const ExpertsTensor& tensor) const {
  Whole whole;
  whole.bytes.resize(static_cast<size_t>(tensor.experts * tensor.out * tensor.in * kBytes));
  for (const auto& [name, part] : job_.source->packed_experts().parts()) {
    if (part.of != &tensor || part.bias) continue;
    if (is_packed_part(job_, name, part)) {
      ++whole.missing;
    } else {
      scatter(part, rounded(part, name, plain_dtype(*job_.format)).data(), whole.bytes.data());
    }
  }
  return whole;
}

void ExpertAssembly::take(std::string_view name, std::span<const std::byte> bytes) {
  const ExpertPart* part = job_.source->packed_experts().find(name);
  if (part == nullptr) return sink_(name, bytes);
  auto found = wholes_.find(part->of);
  if (found == wholes_.end()) found = wholes_.emplace(part->of, begin(*part->of)).first;
  scatter(*part, bytes.data(), found->second.bytes.data());
  if (--found->second.missing > 0) return;
  sink_(part->of->name, found->second.bytes);
  wholes_.erase(found);
}

std::vector<std::string> assembled_tensors(const Job& job) {
  std::vector<std::string> names;
  for (const auto& [name, part] : job.source->packed_experts().parts()) {
    if (is_packed_part(job, name, part)) names.push_back(part.of->name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

DType plain_dtype(const ExportFormat& format) { return format.layout("", {.out = 1, .in = 1}).front().dtype; }

}  // namespace hesse
