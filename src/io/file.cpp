#include "io/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "hesse/error.h"
#include "io/file_system.h"
#include "io/scratch_memory.h"

namespace hesse {
namespace {

constexpr mode_t kNewFileMode = 0666;       // less the umask
constexpr mode_t kNewDirectoryMode = 0777;  // likewise
constexpr int64_t kReadBytes = 1 << 16;

std::string system_text(int number) { return std::error_code(number, std::generic_category()).message(); }

[[noreturn]] void fail_reading(const std::filesystem::path& path, const char* doing, int number) {
  const bool wrong_path = number == ENOENT || number == ENOTDIR || number == EISDIR || number == ELOOP ||
                          number == ENAMETOOLONG || number == EINVAL;
  throw Error(wrong_path ? ErrorKind::kBadInput : ErrorKind::kEnvironment,
              fmt::format("[file] {}: cannot {}: {}{}", path.string(), doing, system_text(number),
                          number == EACCES ? "; check its permissions" : ""));
}

[[noreturn]] void fail_writing(const std::filesystem::path& path, const std::string& doing, int number) {
  const char* advice = "";
  if (number == ENOSPC || number == EDQUOT) advice = "; free some disk space or choose another output directory";
  if (number == EFBIG) advice = "; raise the file size limit (ulimit -f) or use smaller shards";
  if (number == EACCES || number == EROFS) advice = "; choose an output directory that you may write";
  throw Error(ErrorKind::kEnvironment,
              fmt::format("[file] {}: cannot {}: {}{}", path.string(), doing, system_text(number), advice));
}

void write_fully(int descriptor, const std::filesystem::path& path, std::string_view bytes, int64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = file_system().pwrite(descriptor, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    // A device that takes nothing and says nothing would keep us here for ever.
    if (count <= 0)
      fail_writing(path, fmt::format("write {} bytes at offset {}", bytes.size(), offset), count < 0 ? errno : EIO);
    bytes.remove_prefix(static_cast<size_t>(count));
    offset += count;
  }
}

// Closes on every way out. For reading, where the result of close() says nothing.
class ReadDescriptor {
 public:
  ReadDescriptor(const std::filesystem::path& path, int flags) : value_(::open(path.c_str(), O_RDONLY | flags)) {
    if (value_ < 0) fail_reading(path, "open", errno);
  }
  ~ReadDescriptor() { ::close(value_); }
  ReadDescriptor(const ReadDescriptor&) = delete;
  ReadDescriptor& operator=(const ReadDescriptor&) = delete;
  int value() const { return value_; }

 private:
  int value_;
};

int64_t page_size() { return ::sysconf(_SC_PAGESIZE); }

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) {
  // O_NONBLOCK: a named pipe must be refused, not waited for. Regular files do not heed it.
  const ReadDescriptor file(path, O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (::fstat(file.value(), &status) != 0) fail_reading(path, "examine", errno);
  if (S_ISDIR(status.st_mode)) fail_reading(path, "map", EISDIR);
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kBadInput, fmt::format("[file] {}: not a regular file, cannot be mapped", path.string()));
  }
  if (status.st_size == 0) return;  // mmap() refuses an empty range
  void* data = ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file.value(), 0);
  if (data == MAP_FAILED) fail_reading(path, "map", errno);
  data_ = static_cast<const std::byte*>(data);
  size_ = status.st_size;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), static_cast<size_t>(size_));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::will_need(int64_t begin, int64_t size) const {
  begin = std::clamp<int64_t>(begin, 0, size_);
  const int64_t end = begin + std::clamp<int64_t>(size, 0, size_ - begin);
  begin -= begin % page_size();
  if (begin < end) ::madvise(const_cast<std::byte*>(data_ + begin), static_cast<size_t>(end - begin), MADV_WILLNEED);
}

void MappedFile::dont_need(int64_t begin, int64_t size) const {
  const int64_t page = page_size();
  begin = std::clamp<int64_t>(begin, 0, size_);
  int64_t end = begin + std::clamp<int64_t>(size, 0, size_ - begin);
  begin = (begin + page - 1) / page * page;
  if (end < size_) end -= end % page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_ + begin), static_cast<size_t>(end - begin), MADV_DONTNEED);
}

double MappedFile::share_in_memory(int64_t begin, int64_t size) const {
  const int64_t page = page_size();
  begin = std::clamp<int64_t>(begin, 0, size_);
  const int64_t end = begin + std::clamp<int64_t>(size, 0, size_ - begin);
  begin -= begin % page;
  if (begin >= end) return 1;
  std::vector<unsigned char> pages(static_cast<size_t>((end - begin + page - 1) / page));
  void* first = const_cast<std::byte*>(data_ + begin);
  if (::mincore(first, static_cast<size_t>(end - begin), pages.data()) != 0) return 0;
  const auto here = std::count_if(pages.begin(), pages.end(), [](unsigned char state) { return (state & 1) != 0; });
  return static_cast<double>(here) / static_cast<double>(pages.size());
}

std::string read_text_file(const std::filesystem::path& path) {
  const ReadDescriptor file(path, O_CLOEXEC);
  std::string text;
  struct stat status {};
  if (::fstat(file.value(), &status) == 0 && S_ISREG(status.st_mode)) text.reserve(static_cast<size_t>(status.st_size));
  std::string block(kReadBytes, '\0');
  for (;;) {
    const ssize_t count = ::read(file.value(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_reading(path, "read", errno);
    if (count == 0) return text;
    text.append(block, 0, static_cast<size_t>(count));
  }
}

FileReader::FileReader(const std::filesystem::path& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail_reading(path, "open", errno);
}

FileReader::~FileReader() { ::close(descriptor_); }

size_t FileReader::read(char* out, size_t size) {
  for (;;) {
    const ssize_t count = ::read(descriptor_, out, size);
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EINTR) fail_reading(path_, "read", errno);
  }
}

OutputFile::OutputFile(const std::filesystem::path& path)
    : path_(path),
      descriptor_(file_system().open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kNewFileMode)) {
  if (descriptor_ < 0) fail_writing(path, "create", errno);
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  file_system().close(descriptor_);
  file_system().unlink(path_.c_str());
}

void OutputFile::write_at(int64_t offset, const void* data, int64_t size) {
  if (descriptor_ < 0 || offset < 0 || size < 0) {
    throw Error(ErrorKind::kInternal,
                fmt::format("[file] {}: {} bytes at offset {} cannot be written to {} file", path_.string(), size,
                            offset, descriptor_ < 0 ? "a finished" : "this"));
  }
  write_fully(descriptor_, path_, {static_cast<const char*>(data), static_cast<size_t>(size)}, offset);
}

void OutputFile::finish() {
  if (descriptor_ < 0) throw Error(ErrorKind::kInternal, fmt::format("[file] {}: finished twice", path_.string()));
  // The destructor closes and removes.
  if (file_system().fsync(descriptor_) != 0) fail_writing(path_, "sync", errno);
  if (file_system().close(std::exchange(descriptor_, -1)) != 0) {
    const int number = errno;
    file_system().unlink(path_.c_str());
    fail_writing(path_, "close", number);
  }
}

AppendFile::AppendFile(const std::filesystem::path& path, int64_t size)
    : path_(path), descriptor_(file_system().open(path.c_str(), O_WRONLY | O_CLOEXEC, 0)), size_(size) {
  if (descriptor_ < 0) fail_writing(path, "open", errno);
  struct stat status {};
  const char* failed = nullptr;
  if (::fstat(descriptor_, &status) != 0) {
    failed = "examine";
  } else if (status.st_size > size_ && file_system().ftruncate(descriptor_, size_) != 0) {
    failed = "cut";
  } else if (status.st_size > size_ && file_system().fsync(descriptor_) != 0) {
    failed = "sync";
  }
  if (failed == nullptr) return;
  const int number = errno;
  file_system().close(std::exchange(descriptor_, -1));  // no destructor runs for what was not made
  fail_writing(path, failed, number);
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) file_system().close(descriptor_);
}

void AppendFile::append(std::string_view bytes) {
  if (failed_) {
    throw Error(ErrorKind::kInternal, fmt::format("[file] {}: appended to after a failure", path_.string()));
  }
  failed_ = true;  // until all of it has worked
  write_fully(descriptor_, path_, bytes, size_);
  if (file_system().fsync(descriptor_) != 0) fail_writing(path_, "sync", errno);
  size_ += static_cast<int64_t>(bytes.size());
  failed_ = false;
}

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  OutputFile file(path);
  file.write_at(0, text.data(), static_cast<int64_t>(text.size()));
  file.finish();
}

void copy_file_synced(const std::filesystem::path& from, const std::filesystem::path& to) {
  const MappedFile source(from);
  OutputFile target(to);
  target.write_at(0, source.bytes().data(), source.size());
  target.finish();
}

void sync_path(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_writing(path, "open for syncing", errno);
  const int number = (file_system().fsync(descriptor) == 0) ? 0 : errno;
  ::close(descriptor);
  // EINVAL: the file system keeps directories safe by itself and knows no fsync for them (some network mounts).
  if (number != 0 && number != EINVAL) fail_writing(path, "sync", number);
}

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (file_system().rename(from.c_str(), to.c_str()) != 0)
    fail_writing(to, "be renamed from " + from.filename().string(), errno);
}

void remove_file(const std::filesystem::path& path) {
  if (file_system().unlink(path.c_str()) != 0 && errno != ENOENT) fail_writing(path, "remove", errno);
}

void make_directories(const std::filesystem::path& path) {
  std::error_code ignored;
  if (path.empty() || std::filesystem::is_directory(path, ignored)) return;
  make_directories(path.parent_path());
  // Another process may have been quicker.
  if (file_system().mkdir(path.c_str(), kNewDirectoryMode) != 0 && errno != EEXIST)
    fail_writing(path, "create the directory", errno);
}

bool remove_tree(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::symlink_status(path, error).type() != std::filesystem::file_type::directory)
    return file_system().unlink(path.c_str()) == 0 || errno == ENOENT;
  std::vector<std::filesystem::path> inside;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error))
    inside.push_back(entry->path());
  for (const std::filesystem::path& one : inside) {
    if (!remove_tree(one)) return false;
  }
  return remove_empty_directory(path);
}

bool remove_empty_directory(const std::filesystem::path& path) {
  return file_system().rmdir(path.c_str()) == 0 || errno == ENOENT;
}

int64_t free_disk_bytes(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(path, error);
  return error ? 0 : static_cast<int64_t>(std::min<uintmax_t>(space.available, INT64_MAX));
}

ForeignMemory scratch_memory(const std::filesystem::path& folder, int64_t bytes) {
  static std::atomic<int64_t> number{0};
  const std::filesystem::path path = folder / fmt::format("scratch-{}", number++);
  const int descriptor =
      file_system().open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kNewFileMode);
  if (descriptor < 0) fail_writing(path, "create", errno);
  file_system().unlink(path.c_str());
  const int failed = file_system().allocate(descriptor, bytes);
  void* data = failed == 0
                   ? ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
                   : MAP_FAILED;
  const int number_of_error = failed != 0 ? failed : errno;
  file_system().close(descriptor);
  if (data == MAP_FAILED) fail_writing(path, fmt::format("take {} bytes", bytes), number_of_error);
  return {data, bytes, [](void* begin, int64_t size) { ::munmap(begin, static_cast<size_t>(size)); }};
}

// Whole pages, those that are shared with neighbours too: what is looked at again comes back from the file.
void put_aside(const void* data, int64_t bytes) {
  if (bytes <= 0) return;
  const uintptr_t page = static_cast<uintptr_t>(page_size());
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(bytes) + page - 1) / page * page;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace hesse
