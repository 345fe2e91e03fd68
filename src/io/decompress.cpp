#include "io/decompress.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

constexpr size_t kBlock = 64 * 1024;

// Compressed bytes as they come from the file.
struct Input {
  explicit Input(const std::filesystem::path& path) : file(path), block(kBlock), name(path.filename().string()) {}
  std::string_view left() const { return {block.data() + begin, end - begin}; }
  // Whether there is more.
  bool fill() {
    if (begin < end) return true;
    begin = 0;
    end = file.read(block.data(), block.size());
    return end > 0;
  }

  FileReader file;
  std::vector<char> block;
  size_t begin = 0, end = 0;
  std::string name;
};

[[noreturn]] void damaged(const Input& input, std::string_view format, std::string_view what) {
  throw Error(ErrorKind::kBadInput,
              fmt::format("[{}] {}: {}; damaged, or an incomplete download?", format, input.name, what));
}

class Unpacker {
 public:
  virtual ~Unpacker() = default;
  // At least one byte, or 0 at the end.
  virtual size_t read(Input& input, char* out, size_t size) = 0;
};

class Plain : public Unpacker {
 public:
  size_t read(Input& input, char* out, size_t size) override {
    if (!input.fill()) return 0;
    const size_t count = std::min(size, input.end - input.begin);
    std::memcpy(out, input.block.data() + input.begin, count);
    input.begin += count;
    return count;
  }
};

// Several members behind each other are one file, as gzip has it.
class Gzip : public Unpacker {
 public:
  Gzip() {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&stream_, kGzipOnly) != Z_OK) {
      throw Error(ErrorKind::kEnvironment, "[gzip] no memory to decompress with");
    }
  }
  ~Gzip() override { inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  size_t read(Input& input, char* out, size_t size) override {
    const size_t wanted = std::min(size, kBlock);
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(wanted);
    while (stream_.avail_out == wanted) {
      if (!input.fill()) {
        if (inside_) damaged(input, "gzip", "it ends in the middle");
        return 0;
      }
      if (!inside_) inflateReset(&stream_);
      inside_ = true;
      stream_.next_in = reinterpret_cast<Bytef*>(input.block.data() + input.begin);
      stream_.avail_in = static_cast<uInt>(input.end - input.begin);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      input.begin = input.end - stream_.avail_in;
      if (status == Z_STREAM_END) {
        inside_ = false;
      } else if (status != Z_OK && status != Z_BUF_ERROR) {
        damaged(input, "gzip", stream_.msg != nullptr ? stream_.msg : "it cannot be decompressed");
      }
    }
    return wanted - stream_.avail_out;
  }

 private:
  z_stream stream_{};
  bool inside_ = true;  // a member has begun and not ended
};

class Zstd : public Unpacker {
 public:
  Zstd() : stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw Error(ErrorKind::kEnvironment, "[zstd] no memory to decompress with");
  }
  ~Zstd() override { ZSTD_freeDStream(stream_); }
  Zstd(const Zstd&) = delete;
  Zstd& operator=(const Zstd&) = delete;

  size_t read(Input& input, char* out, size_t size) override {
    ZSTD_outBuffer output{out, size, 0};
    while (output.pos == 0) {
      // Bytes may be left inside although the file is at its end.
      const bool more = input.fill();
      ZSTD_inBuffer bytes{input.block.data() + input.begin, input.end - input.begin, 0};
      if (!more && !inside_) return 0;
      const size_t status = ZSTD_decompressStream(stream_, &output, &bytes);
      if (ZSTD_isError(status) != 0) damaged(input, "zstd", ZSTD_getErrorName(status));
      input.begin += bytes.pos;
      inside_ = status != 0;
      if (!more && output.pos == 0 && inside_) damaged(input, "zstd", "it ends in the middle");
    }
    return output.pos;
  }

 private:
  ZSTD_DStream* stream_;
  bool inside_ = true;  // a frame has begun and not ended
};

std::unique_ptr<Unpacker> unpacker_for(std::string_view head) {
  if (head.starts_with("\x1F\x8B")) return std::make_unique<Gzip>();
  if (head.starts_with("\x28\xB5\x2F\xFD")) return std::make_unique<Zstd>();
  return nullptr;
}

}  // namespace

struct ByteStream::Impl {
  explicit Impl(const std::filesystem::path& path) : input(path) {
    input.fill();
    unpacker = unpacker_for(input.left());
    compressed = unpacker != nullptr;
    if (!compressed) unpacker = std::make_unique<Plain>();
  }
  Input input;
  std::unique_ptr<Unpacker> unpacker;
  bool compressed = false;
};

ByteStream::ByteStream(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}
ByteStream::~ByteStream() = default;
ByteStream::ByteStream(ByteStream&&) noexcept = default;
ByteStream& ByteStream::operator=(ByteStream&&) noexcept = default;

size_t ByteStream::read(char* out, size_t size) {
  size_t done = 0;
  while (done < size) {
    const size_t count = impl_->unpacker->read(impl_->input, out + done, size - done);
    if (count == 0) break;
    done += count;
  }
  return done;
}

bool ByteStream::compressed() const { return impl_->compressed; }

}  // namespace hesse
