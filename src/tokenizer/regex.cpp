#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <limits>

#include "hesse/error.h"

namespace hesse {
namespace {

struct Free {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};
template <class T>
using Handle = std::unique_ptr<T, Free>;

template <class T>
Handle<T> owned(T* pointer) {
  if (pointer == nullptr) throw Error(ErrorKind::kEnvironment, "[regex] PCRE2: out of memory");
  return Handle<T>(pointer);
}

// Address space only; pages are used when a search goes deep.
constexpr size_t kJitStackBytes = size_t{64} << 20;
constexpr uint32_t kHeapKibibytes = uint32_t{256} << 10;
// Steps of one search: honest patterns take a few for each byte, catastrophic ones exponentially many.
constexpr uint64_t kBaseSteps = 10'000'000;
constexpr uint64_t kStepsPerByte = 64;

std::string pcre_message(int code) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

PCRE2_SPTR bytes_of(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Regex::Compiled {
  Handle<pcre2_code> code;
  std::string where;
};

namespace {

class RegexFinder : public Finder {
 public:
  explicit RegexFinder(const Regex::Compiled& compiled)
      : compiled_(compiled),
        match_(owned(pcre2_match_data_create(1, nullptr))),
        context_(owned(pcre2_match_context_create(nullptr))) {
    // Without a JIT there is no stack to make; PCRE2 then interprets.
    jit_stack_.reset(pcre2_jit_stack_create(size_t{32} << 10, kJitStackBytes, nullptr));
    if (jit_stack_ != nullptr) pcre2_jit_stack_assign(context_.get(), nullptr, jit_stack_.get());
    pcre2_set_heap_limit(context_.get(), kHeapKibibytes);
  }

  bool find(std::string_view text, size_t from, Span& match) override {
    const uint64_t steps = kBaseSteps + kStepsPerByte * text.size();
    pcre2_set_match_limit(context_.get(),
                          static_cast<uint32_t>(std::min<uint64_t>(steps, std::numeric_limits<uint32_t>::max())));
    int code = run(text, from, 0);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT) code = run(text, from, PCRE2_NO_JIT);
    if (code == PCRE2_ERROR_NOMATCH) return false;
    if (code < 0) {
      throw Error(ErrorKind::kBadInput,
                  fmt::format("[regex] {}: search gave up at byte {} of {}: {}; pattern with runaway backtracking?",
                              compiled_.where, from, text.size(), pcre_message(code)));
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match_.get());
    match = {ends[0], std::max(ends[0], ends[1])};
    return true;
  }

 private:
  int run(std::string_view text, size_t from, uint32_t options) {
    // The text was checked once, when it came in.
    return pcre2_match(compiled_.code.get(), bytes_of(text), text.size(), from, options | PCRE2_NO_UTF_CHECK,
                       match_.get(), context_.get());
  }

  const Regex::Compiled& compiled_;
  Handle<pcre2_match_data> match_;
  Handle<pcre2_jit_stack> jit_stack_;
  Handle<pcre2_match_context> context_;
};

}  // namespace

Regex::Regex(std::string_view pattern, const std::string& where) : compiled_(std::make_unique<Compiled>()) {
  const std::string translated = translate_regex(pattern, where);
  const auto context = owned(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE offset = 0;
  // Ruby's ^ and $ always stand at lines.
  pcre2_code* compiled =
      pcre2_compile(bytes_of(translated), translated.size(), PCRE2_UTF | PCRE2_MULTILINE | PCRE2_NO_AUTO_CAPTURE, &code,
                    &offset, context.get());
  if (compiled == nullptr) {
    throw Error(ErrorKind::kBadInput, fmt::format("[regex] {}: cannot compile the pattern '{}': {}", where,
                                                  pattern.substr(0, 200), pcre_message(code)));
  }
  compiled_->code.reset(compiled);
  compiled_->where = where;
  // A system that forbids writable code has no JIT: then pcre2_match interprets, slower but equal.
  (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::unique_ptr<Finder> Regex::finder() const { return std::make_unique<RegexFinder>(*compiled_); }

}  // namespace hesse
