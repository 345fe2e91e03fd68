#include "run/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
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

constexpr int64_t kRows = 2048;  // at a time

void write_stream(const Streams& streams, const Matrix<float>& h, const char* name, SafetensorsWriter& writer) {
  const int64_t row_bytes = h.cols() * static_cast<int64_t>(sizeof(float));
  for (int64_t first = 0; first < h.rows(); first += kRows) {
    const auto rows = h.view().row_range(first, std::min(kRows, h.rows() - first));
    writer.write_part(name, first * row_bytes,
                      std::as_bytes(std::span(rows.data, static_cast<size_t>(rows.rows * rows.cols))));
    streams.store.put_aside(rows);
  }
}

Matrix<float> read_stream(const Job& job, const Checkpoint& file, const char* name, const ActivationStore& store) {
  const int64_t rows = job.windows->ids.size(), cols = job.model->config().hidden;
  const TensorView* tensor = file.find(name);
  if (tensor == nullptr || tensor->spec.dtype != DType::kF32 || tensor->spec.shape != std::vector{rows, cols}) {
    throw Error(ErrorKind::kEnvironment,
                fmt::format("[resume] {}: no '{}' of shape [{}, {}]; --no-resume starts afresh",
                            file.files().front().string(), name, rows, cols));
  }
  Matrix<float> h = store.matrix(rows, cols);
  for (int64_t first = 0; first < rows; first += kRows) {
    const auto to = h.view().row_range(first, std::min(kRows, rows - first));
    const size_t row_bytes = static_cast<size_t>(cols) * sizeof(float);
    std::memcpy(to.data, tensor->bytes.data() + static_cast<size_t>(first) * row_bytes,
                static_cast<size_t>(to.rows) * row_bytes);
    store.put_aside(to);
  }
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
  write_stream(streams, streams.quantized.h, kQuantized, writer);
  if (streams.original) write_stream(streams, streams.original->h, kOriginal, writer);
  writer.finish();
}

void read_streams(const Job& job, const std::filesystem::path& path, Streams& streams) {
  const Checkpoint file = Checkpoint::of_file(path);
  streams.quantized.h = read_stream(job, file, kQuantized, streams.store);
  if (file.find(kOriginal) != nullptr)
    streams.original.emplace(Stream{read_stream(job, file, kOriginal, streams.store), {}});
}

}  // namespace hesse
