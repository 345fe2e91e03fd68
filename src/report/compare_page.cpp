#include "report/compare_page.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/utf8.h"

namespace hesse {
namespace {

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hesse compare</title>
<style>
:root { color-scheme: light dark; --line: #c8ccd0; --mark: #ffe08a; --on-mark: #1b1b1b; --rest: #8a3b00; }
@media (prefers-color-scheme: dark) { :root { --line: #4a4f55; --mark: #ffd24d; --rest: #ffb37a; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 90rem; }
h2 { font-size: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
h2 { border-top: 1px solid var(--line); padding-top: 1rem; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
.answers section { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .8rem; min-width: 0; }
h3 { font-size: .9rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
p.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
p.note { font-size: .85rem; margin: .5rem 0 0; }
mark { background: var(--mark); color: var(--on-mark); }
.rest { color: var(--rest); }
</style>
</head>
<body>
<h1>Answers side by side</h1>
)";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : valid_utf8(text)) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

// The answer with the first word that is another marked; `at` < 0: none.
std::string marked(std::string_view text, int64_t at) {
  if (at < 0) return escaped(text);
  const size_t begin = static_cast<size_t>(at);
  const size_t word = std::min(text.find_first_not_of(" \n\t", begin), text.size());
  const size_t end = std::min(text.find_first_of(" \n\t", word), text.size());
  return fmt::format("{}<mark>{}</mark><span class=\"rest\">{}</span>", escaped(text.substr(0, begin)),
                     begin == text.size() ? "(end)" : escaped(text.substr(begin, end - begin)),
                     escaped(text.substr(end)));
}

std::string note_of(const ComparedAnswer& answer, bool first) {
  std::string note = fmt::format("{} tokens, ended by: {}", answer.ids.size(), answer.stop);
  if (first) return note;
  if (answer.parts_at_byte < 0) return note + "; the same as the first";
  if (answer.parts_at_token >= 0) note += fmt::format("; parts from the first at token {}", answer.parts_at_token + 1);
  return note;
}

std::string prompt_section(const CompareResult& result, const ComparedPrompt& prompt) {
  std::string html = fmt::format("<h2>{}</h2>\n<div class=\"answers\">\n", escaped(prompt.prompt));
  for (size_t m = 0; m < prompt.answers.size(); ++m) {
    const ComparedAnswer& answer = prompt.answers[m];
    html += fmt::format("<section><h3>{}</h3><p class=\"text\">{}</p><p class=\"note\">{}</p></section>\n",
                        escaped(result.models[m]), marked(answer.text, answer.parts_at_byte),
                        escaped(note_of(answer, m == 0)));
  }
  return html + "</div>\n";
}

// After a vote without names.
std::string votes_line(const CompareResult& result) {
  if (result.votes.size() != result.models.size()) return "";
  std::string html = "<p>Votes, given without knowing the names:";
  for (size_t m = 0; m < result.votes.size(); ++m)
    html += fmt::format("{} {} for {}", m == 0 ? "" : ",", result.votes[m], escaped(result.models[m]));
  return html + ".</p>\n";
}

}  // namespace

std::string compare_page(const CompareResult& result) {
  std::string html = kHead;
  html += fmt::format(
      "<p>{} models, {} prompts, seed {}. Marked: the first word where an answer parts from that of {}.</p>\n",
      result.models.size(), result.prompts.size(), result.seed, result.models.empty() ? "" : escaped(result.models[0]));
  html += votes_line(result);
  for (const ComparedPrompt& prompt : result.prompts) html += prompt_section(result, prompt);
  return html + "</body>\n</html>\n";
}

}  // namespace hesse
