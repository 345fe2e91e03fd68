// Text on its way through the stages of a tokenizer. When it is traced, every byte knows from which stretch of the
// input it comes; what the stages do to the bytes is the same with and without.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hesse {

struct Span {
  size_t begin = 0;  // bytes, [begin, end)
  size_t end = 0;
  bool operator==(const Span&) const = default;
};

struct Text {
  std::string bytes;
  bool traced = false;
  size_t leading = 0;         // so many bytes at the front come from the first character of the whole input
  std::vector<Span> origins;  // when traced, one a byte: the whole character of the input, or several

  Text() = default;
  Text(std::string all, bool starts_input);
  // The characters of `all`, each from its own place, which is `offset` bytes behind the beginning of the input.
  static Text traced_from(std::string all, size_t offset);
  // The bytes of [begin, end) with their origins.
  Text part(Span span) const;
  // Where the bytes of [begin, end) come from; an empty stretch is of nowhere in particular, {0, 0}.
  Span origin_of(Span span) const;
};

// One character of a rewritten text. `change` is what it does to the old one: 0 takes the place of one character, 1 is
// put in, -n takes the place of one and of the n behind it.
struct Change {
  char32_t character = 0;
  int change = 0;
};

// Makes a new text out of an old one, in the order of the new one. What is put in comes from where the
// reference says it does, so that offsets are equal to its own.
class Rewriter {
 public:
  // `old` must outlive it.
  explicit Rewriter(const Text& old) : old_(old) {
    made_.traced = old.traced;
    made_.bytes.reserve(old.bytes.size() + old.bytes.size() / 8);
  }

  const Text& old() const { return old_; }
  size_t size() const { return made_.bytes.size(); }
  // [begin, end) of the old text as it is.
  void keep(size_t begin, size_t end);
  // `text`, which comes from where the byte `at` of the old text does.
  void put(std::string_view text, size_t at);
  // What `append(string)` appends, which comes from there too.
  template <class Append>
  void put_with(size_t at, Append append) {
    const size_t before = made_.bytes.size();
    append(made_.bytes);
    note(before, at);
  }
  // `text` between the bytes `at` - 1 and `at`; it comes from where the first of them does.
  void insert(std::string_view text, size_t at);
  void change(const std::vector<Change>& changes);

  Text take() { return std::move(made_); }

 private:
  // The bytes since `before` come from where the byte `at` of the old text does.
  void note(size_t before, size_t at) {
    if (at < old_.leading && made_.leading == before) made_.leading = made_.bytes.size();
    if (made_.traced) made_.origins.insert(made_.origins.end(), made_.bytes.size() - before, old_.origins[at]);
  }

  const Text& old_;
  Text made_;
};

}  // namespace hesse
