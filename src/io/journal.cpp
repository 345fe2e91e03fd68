#include "io/journal.h"

#include <fmt/format.h>

#include <optional>
#include <system_error>

#include "base/sha256.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr std::string_view kHeader = "hesse journal 1\n";
constexpr size_t kLengthBytes = 8;
constexpr size_t kFrontBytes = kLengthBytes + 32;  // length and checksum

std::string little_endian(uint64_t value) {
  std::string bytes;
  for (size_t i = 0; i < kLengthBytes; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

uint64_t read_length(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return value;
}

// The place is part of it, so an entry cannot be taken for another one.
std::string checksum(size_t place, std::string_view payload) {
  Sha256 hash;
  const std::string front = little_endian(place) + little_endian(payload.size());
  hash.update(front.data(), front.size());
  hash.update(payload.data(), payload.size());
  return hash.bytes();
}

std::string frame(size_t place, std::string_view payload) {
  if (payload.empty()) throw Error(ErrorKind::kInternal, "[journal] an entry without bytes");
  return little_endian(payload.size()) + checksum(place, payload) + std::string(payload);
}

std::optional<std::string_view> entry_at(std::string_view file, size_t place) {
  if (file.size() - place <= kFrontBytes) return std::nullopt;
  const uint64_t length = read_length(file.substr(place));
  // No entry is empty; so a tail of zeros, as a power cut leaves it, is none.
  if (length == 0 || length > file.size() - place - kFrontBytes) return std::nullopt;
  const std::string_view payload = file.substr(place + kFrontBytes, static_cast<size_t>(length));
  if (file.substr(place + kLengthBytes, kFrontBytes - kLengthBytes) != checksum(place, payload)) return std::nullopt;
  return payload;
}

bool holds_entry_behind(std::string_view file, size_t place) {
  for (size_t p = place + 1; p < file.size(); ++p) {
    if (entry_at(file, p)) return true;
  }
  return false;
}

}  // namespace

JournalContents read_journal(const std::filesystem::path& path) {
  JournalContents contents;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return contents;
  const std::string file = read_text_file(path);
  contents.file_bytes = static_cast<int64_t>(file.size());
  size_t place = kHeader.size();
  if (file.compare(0, kHeader.size(), kHeader) == 0) {
    while (const auto payload = entry_at(file, place)) {
      place += kFrontBytes + payload->size();
      contents.entries.push_back({std::string(*payload), static_cast<int64_t>(place)});
    }
    if (place == file.size()) return contents;
  } else {
    place = 0;
  }
  contents.damaged = holds_entry_behind(file, place);
  return contents;
}

void Journal::create(const std::filesystem::path& path, std::string_view first_payload) {
  std::filesystem::path aside = path;
  aside += ".part";
  remove_file(aside);
  write_text_file(aside, std::string(kHeader) + frame(kHeader.size(), first_payload));
  rename_path(aside, path);
  sync_path(path.parent_path());
}

void Journal::append(std::string_view payload) { file_.append(frame(static_cast<size_t>(file_.size()), payload)); }

}  // namespace hesse
