// Reading protocol buffers, as far as tokenizer.model needs them: fields of one message, in the order of the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hesse {

class ProtobufReader {
 public:
  // `bytes` must outlive it. `where` is named in errors.
  ProtobufReader(std::string_view bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  // Goes to the next field; false at the end. Error(kBadInput) when the bytes end inside of a field, or when its kind
  // is none of varint, 64 bits, length-delimited and 32 bits.
  bool next();
  uint64_t field() const { return field_; }
  // The value of the field; Error(kBadInput) when it is of another kind.
  int64_t integer() const;
  bool boolean() const { return integer() != 0; }
  float number() const;
  std::string_view bytes() const;
  const std::string& where() const { return where_; }

 private:
  uint64_t varint();
  std::string_view take(uint64_t size);
  void expect(uint64_t kind) const;

  std::string_view bytes_;
  std::string where_;
  size_t at_ = 0;
  uint64_t field_ = 0;
  uint64_t kind_ = 0;
  uint64_t integer_ = 0;
  std::string_view value_;
};

}  // namespace hesse
