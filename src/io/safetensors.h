// safetensors: a JSON header and raw tensors behind it (docs/FORMATS.md). The reader trusts no number in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/dtype.h"
#include "io/file.h"

namespace hesse {

// What a tensor is, without its bytes.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;

  int64_t elements() const;  // product of shape, checked; 1 for a scalar
  int64_t bytes() const;     // checked
};

// A tensor inside a mapped file: valid as long as the SafetensorsFile lives. A file may put its data at any byte, so
// `bytes` need not be aligned for the element type: copy with memcpy before computing.
struct TensorView {
  TensorSpec spec;
  std::span<const std::byte> bytes;
};

class SafetensorsFile {
 public:
  // Maps and validates: header length against the file size (and <= 100,000,000), JSON, dtypes, shapes (checked
  // products), offsets inside the file, end - begin == bytes of shape and dtype, no overlap, no gap, no trailing bytes.
  // Throws Error(kBadInput) "[safetensors] FILE: 'TENSOR' ..." with both numbers in it; "[json] FILE, header: ..." when
  // the header is not JSON or names a tensor twice, "[size] FILE: 'TENSOR' ..." when a shape overflows.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::vector<TensorView>& tensors() const { return tensors_; }  // in the order of their data
  const MappedFile& file() const { return file_; }

 private:
  MappedFile file_;
  std::vector<TensorView> tensors_;
};

// A name from a file as messages show it: in quotes, one line, long ones cut.
std::string quoted_name(std::string_view name);

// The layout of one output file, known before any tensor is: header text and the offset of every tensor.
struct SafetensorsLayout {
  struct Entry {
    TensorSpec spec;
    int64_t offset = 0;  // from the beginning of the file; a multiple of the element size
  };
  std::string header;          // the 8 length bytes, the JSON (metadata {"format":"pt"}), padded with spaces to 8 bytes
  std::vector<Entry> entries;  // by element size descending, then by name
  int64_t file_size = 0;       // bytes
};
// Error(kInternal) when a name stands twice or is the format's own "__metadata__".
SafetensorsLayout layout_safetensors(std::vector<TensorSpec> tensors);

// Writes the tensors of a layout in any order. One thread at a time.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, SafetensorsLayout layout);
  // `bytes` must be exactly the tensor's size. Each tensor exactly once, else Error(kInternal).
  void write(std::string_view name, std::span<const std::byte> bytes);
  // The same piece by piece: each begins, in bytes, where the one before ended.
  void write_part(std::string_view name, int64_t first, std::span<const std::byte> bytes);
  bool complete() const { return missing_ == 0; }  // every tensor was written
  void finish();                                   // Error(kInternal) naming a tensor that was not written; syncs

 private:
  std::string path_;
  SafetensorsLayout layout_;
  std::unordered_map<std::string_view, size_t> index_;  // of entries, by name
  size_t find(std::string_view name) const;             // of entries; one that is not written yet

  std::vector<bool> written_;
  std::vector<int64_t> bytes_written_;  // of each tensor
  size_t missing_ = 0;                  // tensors not yet written
  OutputFile file_;
};

}  // namespace hesse
