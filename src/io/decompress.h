// Files as streams of bytes, decompressed where they begin as gzip or zstd. Whoever reads decides how much: a small
// file that unpacks to terabytes costs no more than what is asked for. Behind it: zlib and libzstd.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>

namespace hesse {

class ByteStream {
 public:
  // A regular file or a pipe. Error(kBadInput) when it is absent, or not of one of these sorts.
  explicit ByteStream(const std::filesystem::path& path);
  ~ByteStream();
  ByteStream(ByteStream&&) noexcept;
  ByteStream& operator=(ByteStream&&) noexcept;

  // The next bytes; fewer than `size` only at the end. Error(kBadInput) when compressed bytes are damaged or cut short.
  size_t read(char* out, size_t size);
  bool compressed() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hesse
