#include "run/snapshot.h"

#include <fmt/format.h>

#include <cstring>
#include <span>

#include "hesse/error.h"
#include "io/checkpoint.h"

namespace hesse {
namespace {

constexpr const char* kQuantized = "quantized";
constexpr const char* kOriginal = "original";

TensorSpec spec_of(const char* name, const Matrix<float>& h) {
  return {.name = name, .dtype = DType::kF32, .shape = {h.rows(), h.cols()}};
}

std::span<const std::byte> bytes_of(const Matrix<float>& h) {
  return std::as_bytes(std::span(h.data(), static_cast<size_t>(h.size())));
}

Matrix<float> read_stream(const Job& job, const Checkpoint& file, const char* name) {
  const int64_t rows = job.windows->ids.size(), cols = job.model->config().hidden;
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr || tensor->spec.dtype != DType::kF32 || tensor->spec.shape != std::vector{rows, cols}) {
    throw Error(ErrorKind::kEnvironment,
                fmt::format("[resume] {}: no '{}' of shape [{}, {}]; --no-resume starts afresh",
                            file.files().front().string(), name, rows, cols));
  }
  Matrix<float> h(rows, cols);
  std::memcpy(h.data(), tensor->bytes.data(), tensor->bytes.size());
  file.release(*tensor);
  return h;
}

}  // namespace

bool SnapshotClock::is_due(const Disk& disk) const {
  const double bytes = static_cast<double>(disk.bytes);
  const double cost = seconds_per_byte_ < 0 ? bytes / rule_.first_bytes_per_second : bytes * seconds_per_byte_;
  if (since_.seconds() < rule_.worth * cost) return false;
  return disk.bytes + disk.older <= disk.budget && disk.bytes + disk.still_to_write + rule_.spare_bytes <= disk.free;
}

void SnapshotClock::saved(double seconds, int64_t bytes) {
  seconds_per_byte_ = seconds / static_cast<double>(bytes);
  since_ = {};
}

int64_t stream_bytes(const Streams& streams) {
  const int64_t one = streams.quantized.h.size() * static_cast<int64_t>(sizeof(float));
  return streams.original ? 2 * one : one;
}

void write_streams(const Streams& streams, const std::filesystem::path& path) {
  std::vector<TensorSpec> specs = {spec_of(kQuantized, streams.quantized.h)};
  if (streams.original) specs.push_back(spec_of(kOriginal, streams.original->h));
  SafetensorsWriter writer(path, layout_safetensors(std::move(specs)));
  writer.write(kQuantized, bytes_of(streams.quantized.h));
  if (streams.original) writer.write(kOriginal, bytes_of(streams.original->h));
  writer.finish();
}

Streams read_streams(const Job& job, bool with_original, const std::filesystem::path& path) {
  const Checkpoint file = Checkpoint::of_file(path);
  Streams streams;
  streams.quantized.h = read_stream(job, file, kQuantized);
  if (with_original) streams.original.emplace(Stream{read_stream(job, file, kOriginal), {}});
  return streams;
}

}  // namespace hesse
