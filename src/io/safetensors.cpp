#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "base/checked.h"
#include "hesse/error.h"
#include "io/json.h"

namespace hesse {
namespace {

constexpr int64_t kLengthBytes = 8;  // of the header's length, little-endian
constexpr int64_t kMaxHeaderBytes = 100'000'000;
constexpr std::string_view kMetadata = "__metadata__";
constexpr size_t kMaxShownBytes = 120;  // of a name or value in a message

int64_t elements_of(const std::vector<int64_t>& shape, const std::string& what) {
  int64_t elements = 1;
  for (const int64_t dimension : shape) elements = checked_mul(elements, dimension, what.c_str());
  return elements;
}

int64_t bytes_of(const TensorSpec& spec, const std::string& what) {
  return checked_mul(elements_of(spec.shape, what), dtype_size(spec.dtype), what.c_str());
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t dimension : shape) {
    if (text.size() > kMaxShownBytes) return text + ", ...]";
    text += fmt::format("{}{}", text.size() > 1 ? ", " : "", dimension);
  }
  return text + "]";
}

// One line, long text cut between characters.
std::string shown(std::string_view text) {
  size_t end = std::min(text.size(), kMaxShownBytes);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
  std::string out(text.substr(0, end));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return (end < text.size()) ? out + "..." : out;
}

// Reads and checks the header of one mapped file.
class HeaderReader {
 public:
  HeaderReader(const MappedFile& file, std::string path) : file_(file), path_(std::move(path)) {}

  std::vector<TensorView> read() {
    const Json header = Json::parse(header_text(), path_ + ", header");
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.as_object(path_ + ", header")) {
      if (name == kMetadata) {
        check_metadata(value);
      } else {
        entries.push_back(read_entry(name, value));
      }
    }
    // Tensors without bytes come before the tensor that begins at the same place.
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.begin, a.end, a.spec.name) < std::tie(b.begin, b.end, b.spec.name);
    });
    check_contiguous(entries);
    return views_of(std::move(entries));
  }

 private:
  struct Entry {
    TensorSpec spec;
    int64_t begin = 0;  // both in bytes from the beginning of the data
    int64_t end = 0;
  };

  [[noreturn]] void refuse(const std::string& problem) const {
    throw Error(ErrorKind::kBadInput, fmt::format("[safetensors] {}: {}", path_, problem));
  }
  [[noreturn]] void refuse(const std::string& name, const std::string& problem) const {
    refuse(quoted_name(name) + " " + problem);
  }
  int64_t data_bytes() const { return file_.size() - data_begin_; }
  // Offsets of hostile files may be too large for the sum to fit int64_t.
  uint64_t in_file(int64_t offset) const { return static_cast<uint64_t>(offset) + static_cast<uint64_t>(data_begin_); }
  std::string_view text_at(int64_t begin, int64_t size) const {
    return {reinterpret_cast<const char*>(file_.bytes().data()) + begin, static_cast<size_t>(size)};
  }

  std::string_view header_text() {
    if (file_.size() < kLengthBytes) {
      refuse(fmt::format("file has {} bytes, a header alone has at least {}; incomplete download?", file_.size(),
                         kLengthBytes));
    }
    if (text_at(0, std::min<int64_t>(file_.size(), 11)) == "version htt") {
      refuse(fmt::format("a Git LFS pointer of {} bytes stands in place of the weights; run \"git lfs pull\"",
                         file_.size()));
    }
    uint64_t length = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<uint64_t>(file_.bytes()[i]) << (8 * i);
    if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
      refuse(fmt::format("header length {} is above the format's limit of {}; not a safetensors file?", length,
                         kMaxHeaderBytes));
    }
    data_begin_ = kLengthBytes + static_cast<int64_t>(length);
    if (data_begin_ > file_.size()) {
      refuse(fmt::format("header ends at byte {}, file has {}; incomplete download?", data_begin_, file_.size()));
    }
    if (length == 0 || text_at(kLengthBytes, 1) != "{") {
      refuse(fmt::format("the header of {} bytes does not begin with '{{'; not a safetensors file?", length));
    }
    return text_at(kLengthBytes, static_cast<int64_t>(length));
  }

  void check_metadata(const Json& metadata) const {
    const std::string where = fmt::format("{}, header, {}", path_, kMetadata);
    for (const auto& [key, value] : metadata.as_object(where)) value.as_string(where + ", " + quoted_name(key));
  }

  const Json& member(const std::string& name, const Json& entry, std::string_view key) const {
    if (!entry.is_object()) refuse(name, "is described by " + shown(entry.dump()) + ", expected an object");
    if (const Json* value = entry.find(key)) return *value;
    refuse(name, fmt::format("has no \"{}\"", key));
  }

  int64_t read_size(const std::string& name, const Json& value, const char* what) const {
    if (value.is_integer()) {
      if (const int64_t size = value.as_int(what); size >= 0) return size;
    }
    refuse(name, fmt::format("{}: expected an integer from 0 to 2^63 - 1, found {}", what, shown(value.dump())));
  }

  Entry read_entry(const std::string& name, const Json& value) const {
    Entry entry;
    entry.spec.name = name;
    const Json& dtype = member(name, value, "dtype");
    const std::optional<DType> known = dtype.is_string() ? dtype_from_name(dtype.as_string("dtype")) : std::nullopt;
    if (!known) refuse(name, "has the unknown dtype " + shown(dtype.dump()));
    entry.spec.dtype = *known;

    const Json& shape = member(name, value, "shape");
    if (!shape.is_array()) refuse(name, "shape: expected an array, found " + shown(shape.dump()));
    for (const Json& size : shape.as_array("shape")) entry.spec.shape.push_back(read_size(name, size, "shape"));

    const Json& offsets = member(name, value, "data_offsets");
    if (!offsets.is_array() || offsets.as_array("data_offsets").size() != 2) {
      refuse(name, "data_offsets: expected two numbers, found " + shown(offsets.dump()));
    }
    entry.begin = read_size(name, offsets.as_array("data_offsets")[0], "data_offsets");
    entry.end = read_size(name, offsets.as_array("data_offsets")[1], "data_offsets");
    check_extent(entry);
    return entry;
  }

  void check_extent(const Entry& entry) const {
    const std::string& name = entry.spec.name;
    if (entry.begin > entry.end) {
      refuse(name,
             fmt::format("begins at byte {} and ends before it, at {}", in_file(entry.begin), in_file(entry.end)));
    }
    if (entry.end > data_bytes()) {
      refuse(name, fmt::format("ends at byte {}, file has {}; incomplete download?", in_file(entry.end), file_.size()));
    }
    const int64_t bytes =
        bytes_of(entry.spec, fmt::format("{}: {} of shape {}", path_, quoted_name(name), shape_text(entry.spec.shape)));
    if (bytes != entry.end - entry.begin) {
      refuse(name,
             fmt::format("of shape {} and dtype {} needs {} bytes, its data_offsets give it {}",
                         shape_text(entry.spec.shape), dtype_name(entry.spec.dtype), bytes, entry.end - entry.begin));
    }
  }

  void check_contiguous(const std::vector<Entry>& entries) const {
    int64_t reached = 0;
    std::string before = "the header";
    for (const Entry& entry : entries) {
      if (entry.begin != reached) {
        refuse(entry.spec.name, fmt::format("begins at byte {}, {} {} at byte {}", in_file(entry.begin),
                                            entry.begin > reached ? "leaving a gap:" : "overlapping:", before + " ends",
                                            in_file(reached)));
      }
      reached = entry.end;
      before = quoted_name(entry.spec.name);
    }
    if (reached != data_bytes()) {
      refuse(fmt::format("the last tensor ends at byte {}, file has {}; {} trailing bytes belong to nothing",
                         in_file(reached), file_.size(), data_bytes() - reached));
    }
  }

  std::vector<TensorView> views_of(std::vector<Entry> entries) const {
    std::vector<TensorView> views;
    views.reserve(entries.size());
    for (Entry& entry : entries) {
      const auto bytes = file_.bytes().subspan(in_file(entry.begin), static_cast<size_t>(entry.end - entry.begin));
      views.push_back({std::move(entry.spec), bytes});
    }
    return views;
  }

  const MappedFile& file_;
  std::string path_;
  int64_t data_begin_ = 0;  // in the file
};

[[noreturn]] void misuse(const std::string& path, std::string_view name, const std::string& problem) {
  throw Error(ErrorKind::kInternal, fmt::format("[safetensors] {}: {} {}", path, quoted_name(name), problem));
}

std::string header_of(const std::vector<SafetensorsLayout::Entry>& entries, int64_t& data_bytes) {
  std::string json = R"({"__metadata__":{"format":"pt"})";
  data_bytes = 0;
  for (const auto& [spec, offset] : entries) {
    const int64_t end = checked_add(data_bytes, spec.bytes(), "bytes of all tensors");
    json += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", Json(spec.name).dump(),
                        dtype_name(spec.dtype), fmt::join(spec.shape, ","), data_bytes, end);
    data_bytes = end;
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string header;
  for (size_t i = 0; i < kLengthBytes; ++i) header += static_cast<char>(json.size() >> (8 * i));
  return header + json;
}

}  // namespace

std::string quoted_name(std::string_view name) { return "'" + shown(name) + "'"; }

int64_t TensorSpec::elements() const {
  return elements_of(shape, quoted_name(name) + " of shape " + shape_text(shape));
}

int64_t TensorSpec::bytes() const { return bytes_of(*this, quoted_name(name) + " of shape " + shape_text(shape)); }

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), tensors_(HeaderReader(file_, path.string()).read()) {}

SafetensorsLayout layout_safetensors(std::vector<TensorSpec> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorSpec& a, const TensorSpec& b) {
    const int64_t a_size = dtype_size(a.dtype), b_size = dtype_size(b.dtype);
    return a_size != b_size ? a_size > b_size : a.name < b.name;
  });
  SafetensorsLayout layout;
  for (TensorSpec& spec : tensors) layout.entries.push_back({std::move(spec), 0});
  int64_t data_bytes = 0;
  layout.header = header_of(layout.entries, data_bytes);
  int64_t offset = static_cast<int64_t>(layout.header.size());
  if (offset - kLengthBytes > kMaxHeaderBytes) {
    throw Error(ErrorKind::kInternal, fmt::format("[safetensors] header of {} bytes, the format allows {}; use smaller "
                                                  "shards",
                                                  offset - kLengthBytes, kMaxHeaderBytes));
  }
  layout.file_size = checked_add(offset, data_bytes, "bytes of the file");
  for (auto& entry : layout.entries) {
    entry.offset = offset;
    offset += entry.spec.bytes();
  }
  std::unordered_map<std::string_view, size_t> seen{{kMetadata, 0}};
  for (const auto& entry : layout.entries) {
    if (!seen.emplace(entry.spec.name, 0).second) misuse("layout", entry.spec.name, "stands twice or is reserved");
  }
  return layout;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, SafetensorsLayout layout)
    : path_(path.string()),
      layout_(std::move(layout)),
      written_(layout_.entries.size()),
      bytes_written_(layout_.entries.size()),
      missing_(layout_.entries.size()),
      file_(path) {
  for (size_t i = 0; i < layout_.entries.size(); ++i) index_.emplace(layout_.entries[i].spec.name, i);
  file_.write_at(0, layout_.header.data(), static_cast<int64_t>(layout_.header.size()));
}

size_t SafetensorsWriter::find(std::string_view name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) misuse(path_, name, "is not part of the planned file");
  if (written_[found->second]) misuse(path_, name, "was written twice");
  return found->second;
}

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  const TensorSpec& spec = layout_.entries[find(name)].spec;
  if (static_cast<int64_t>(bytes.size()) != spec.bytes())
    misuse(path_, name, fmt::format("was planned with {} bytes, given {}", spec.bytes(), bytes.size()));
  write_part(name, 0, bytes);
}

void SafetensorsWriter::write_part(std::string_view name, int64_t first, std::span<const std::byte> bytes) {
  const size_t index = find(name);
  const SafetensorsLayout::Entry& entry = layout_.entries[index];
  const int64_t size = static_cast<int64_t>(bytes.size());
  if (first != bytes_written_[index] || size > entry.spec.bytes() - first) {
    misuse(
        path_, name,
        fmt::format("{} bytes at {} of {}, {} of them there", size, first, entry.spec.bytes(), bytes_written_[index]));
  }
  file_.write_at(entry.offset + first, bytes.data(), size);
  bytes_written_[index] += size;
  if (bytes_written_[index] < entry.spec.bytes()) return;
  written_[index] = true;
  --missing_;
}

void SafetensorsWriter::finish() {
  for (size_t i = 0; i < written_.size(); ++i) {
    if (!written_[i]) {
      misuse(path_, layout_.entries[i].spec.name,
             fmt::format("was never written; {} of {} tensors missing", missing_, written_.size()));
    }
  }
  file_.finish();
}

}  // namespace hesse
