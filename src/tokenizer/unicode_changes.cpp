#include "tokenizer/unicode_changes.h"

#include <utf8proc.h>

#include <algorithm>
#include <optional>

#include "hesse/error.h"

namespace hesse {
namespace {

int combining_class(char32_t c) { return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class; }

bool is_later(const Change& a, const Change& b) { return combining_class(a.character) < combining_class(b.character); }

std::vector<Change> decomposed(std::string_view text, utf8proc_option_t options) {
  std::vector<Change> changes;
  utf8proc_int32_t one[64];  // the longest decomposition has 18 characters
  for (size_t i = 0; i < text.size();) {
    int boundclass = 0;
    const auto c = static_cast<utf8proc_int32_t>(next_char(text, i));
    const auto count = utf8proc_decompose_char(c, one, 64, options, &boundclass);
    if (count < 0 || count > 64) throw Error(ErrorKind::kInternal, "[unicode] utf8proc refused a valid character");
    for (utf8proc_ssize_t k = 0; k < count; ++k) changes.push_back({static_cast<char32_t>(one[k]), k == 0 ? 0 : 1});
  }
  for (size_t i = 0; i < changes.size();) {
    size_t end = i;
    while (end < changes.size() && combining_class(changes[end].character) != 0) ++end;
    std::stable_sort(changes.begin() + static_cast<ptrdiff_t>(i), changes.begin() + static_cast<ptrdiff_t>(end),
                     is_later);
    i = end + 1;
  }
  return changes;
}

// What the two become together, if anything.
std::optional<char32_t> composed(char32_t first, char32_t second) {
  utf8proc_int32_t pair[3] = {static_cast<utf8proc_int32_t>(first), static_cast<utf8proc_int32_t>(second), 0};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return std::nullopt;
  return static_cast<char32_t>(pair[0]);
}

std::vector<Change> recomposed(const std::vector<Change>& changes) {
  std::vector<Change> out;
  size_t starter = changes.size();  // in `out`; at first there is none
  int last_class = -1;              // of the marks between the starter and here; -1: none is left
  for (const Change& next : changes) {
    const int its_class = combining_class(next.character);
    const bool has_starter = starter < out.size();
    if (has_starter && (last_class < 0 || last_class < its_class)) {
      if (const auto both = composed(out[starter].character, next.character)) {
        out[starter] = {*both, out[starter].change + next.change - 1};
        continue;
      }
    }
    if (its_class == 0) {
      starter = out.size();
      last_class = -1;
    } else if (has_starter) {
      last_class = its_class;
    }
    out.push_back(next);
  }
  return out;
}

}  // namespace

std::vector<Change> normalization_changes(std::string_view text, NormalForm form) {
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
  const std::vector<Change> changes = decomposed(text, options);
  return compose ? recomposed(changes) : changes;
}

}  // namespace hesse
