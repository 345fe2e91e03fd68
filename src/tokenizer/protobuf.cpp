#include "tokenizer/protobuf.h"

#include <fmt/format.h>

#include <bit>

#include "hesse/error.h"

namespace hesse {
namespace {

constexpr uint64_t kVarint = 0, k64Bits = 1, kDelimited = 2, k32Bits = 5;

}  // namespace

uint64_t ProtobufReader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<uint8_t>(take(1)[0]);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  throw Error(ErrorKind::kBadInput,
              fmt::format("[tokenizer] {}: the number that ends at byte {} has more than 64 bits", where_, at_));
}

std::string_view ProtobufReader::take(uint64_t size) {
  if (size > bytes_.size() - at_) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[tokenizer] {}: byte {} begins a value of {} bytes, but {} are left; incomplete download?",
                            where_, at_, size, bytes_.size() - at_));
  }
  const std::string_view taken = bytes_.substr(at_, size);
  at_ += size;
  return taken;
}

bool ProtobufReader::next() {
  if (at_ == bytes_.size()) return false;
  const uint64_t key = varint();
  field_ = key >> 3;
  kind_ = key & 7;
  switch (kind_) {
    case kVarint:
      integer_ = varint();
      break;
    case k64Bits:
      value_ = take(8);
      break;
    case kDelimited:
      value_ = take(varint());
      break;
    case k32Bits:
      value_ = take(4);
      break;
    default:
      throw Error(ErrorKind::kBadInput,
                  fmt::format("[tokenizer] {}: byte {} begins a field of kind {}, which protocol buffers do not have; "
                              "is this a sentencepiece model?",
                              where_, at_ - 1, kind_));
  }
  return true;
}

void ProtobufReader::expect(uint64_t kind) const {
  if (kind_ == kind) return;
  throw Error(ErrorKind::kBadInput,
              fmt::format("[tokenizer] {}: field {} has kind {}, expected {}", where_, field_, kind_, kind));
}

int64_t ProtobufReader::integer() const {
  expect(kVarint);
  return static_cast<int64_t>(integer_);
}

float ProtobufReader::number() const {
  expect(k32Bits);
  uint32_t bits = 0;
  for (size_t k = 0; k < 4; ++k) bits |= static_cast<uint32_t>(static_cast<uint8_t>(value_[k])) << (8 * k);
  return std::bit_cast<float>(bits);
}

std::string_view ProtobufReader::bytes() const {
  expect(kDelimited);
  return value_;
}

}  // namespace hesse
