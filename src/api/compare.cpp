#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "api/problems.h"
#include "api/text_maker.h"
#include "base/process.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/file.h"
#include "io/json.h"
#include "report/compare_page.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

std::string last_part(const std::string& path) {
  const fs::path normal = fs::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

// A prompt a line, or a line of JSONL with "prompt". Empty lines are passed over.
std::vector<std::string> read_prompts(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::string text = read_text_file(path);
  const bool jsonl = path.extension() == ".jsonl";
  std::vector<std::string> prompts;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    if (jsonl) {
      const std::string where = fmt::format("{}: line {}", name, number);
      const Json root = Json::parse(line, where);
      const Json* prompt = root.find_value("prompt");
      if (prompt == nullptr) throw Error(ErrorKind::kBadInput, fmt::format("[prompts] {}: no 'prompt'", where));
      line = prompt->as_string(where + ", 'prompt'");
    }
    prompts.push_back(std::move(line));
  }
  if (prompts.empty()) throw Error(ErrorKind::kBadInput, fmt::format("[prompts] {}: no prompts", name));
  return prompts;
}

void require_free(const std::string& page) {
  if (!fs::exists(page)) return;
  throw Error(ErrorKind::kUsage, fmt::format("[html] {} exists; remove it or name another file", page));
}

GenerateOptions for_model(const CompareOptions& o, const std::string& model) {
  GenerateOptions g;
  g.model = model;
  g.as = o.as;
  g.chat = o.chat;
  g.system = o.system;
  g.max_tokens = o.max_tokens;
  g.temperature = o.temperature;
  g.top_p = o.top_p;
  g.seed = o.seed;
  g.compute = o.compute;
  g.threads = o.threads;
  return g;
}

// Passes on everything but text: answers come as a whole.
class Quietly : public Listener {
 public:
  explicit Quietly(Listener& to) : to_(to) {}
  void on_warning(std::string_view text) override { to_.on_warning(text); }
  bool stop_requested() override { return to_.stop_requested(); }

 private:
  Listener& to_;
};

// Of one model, in the order of the prompts.
using Answers = std::vector<GenerateResult>;

Answers answers_of(const GenerateOptions& options, const std::vector<std::string>& prompts,
                   const std::function<void(size_t)>& done, Listener& listener) {
  TextMaker maker(options);
  std::vector<std::vector<int32_t>> ids;
  size_t longest = 0;
  for (const std::string& prompt : prompts) {
    ids.push_back(maker.ids_of(prompt));
    longest = std::max(longest, ids.back().size());
  }
  Quietly quietly(listener);
  maker.prepare(static_cast<int64_t>(longest), quietly);
  Answers answers;
  for (size_t i = 0; i < prompts.size(); ++i) {
    done(i);
    answers.push_back(maker.make(std::move(ids[i]), quietly));
  }
  return answers;
}

// Bytes that both texts begin with, whole characters only.
int64_t common_bytes(const std::string& a, const std::string& b) {
  size_t at = static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size())), b.begin()).first -
      a.begin());
  while (at > 0 && at < b.size() && (static_cast<unsigned char>(b[at]) & 0xC0) == 0x80) --at;
  return static_cast<int64_t>(at);
}

ComparedAnswer compared(const GenerateResult& answer, const GenerateResult& first) {
  ComparedAnswer out{.text = answer.text, .ids = answer.ids, .stop = answer.stop};
  if (&answer == &first || (answer.ids == first.ids && answer.text == first.text && answer.stop == first.stop))
    return out;
  out.parts_at_byte = common_bytes(first.text, answer.text);
  if (answer.prompt_ids != first.prompt_ids) return out;  // ids of another tokenizer, or behind another template
  const size_t both = std::min(answer.ids.size(), first.ids.size());
  const auto end = answer.ids.begin() + static_cast<std::ptrdiff_t>(both);
  out.parts_at_token = std::mismatch(answer.ids.begin(), end, first.ids.begin()).first - answer.ids.begin();
  return out;
}

}  // namespace

CompareResult compare(const CompareOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  const Stopwatch watch;
  const std::vector<std::string> prompts = read_prompts(options.prompts);
  if (!options.html.empty()) require_free(options.html);
  std::vector<std::string> paths = {options.model};
  paths.insert(paths.end(), options.others.begin(), options.others.end());
  CompareResult result;
  result.seed = options.seed;
  std::vector<Answers> answers;
  const double all = static_cast<double>(paths.size() * prompts.size());
  for (size_t m = 0; m < paths.size(); ++m) {
    result.models.push_back(last_part(paths[m]));
    const auto done = [&](size_t i) {
      const double share = static_cast<double>(m * prompts.size() + i) / all;
      const double seconds = watch.seconds();
      listener.on_progress({.what = "answers of " + result.models.back(),
                            .share = share,
                            .seconds_left = share > 0 ? seconds / share - seconds : -1});
    };
    answers.push_back(answers_of(for_model(options, paths[m]), prompts, done, listener));
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    ComparedPrompt& prompt = result.prompts.emplace_back();
    prompt.prompt = prompts[i];
    for (const Answers& of_model : answers) prompt.answers.push_back(compared(of_model[i], answers[0][i]));
  }
  result.seconds = watch.seconds();
  if (!options.html.empty() && !options.blind) write_page(result, options.html);
  return result;
}

void write_page(const CompareResult& result, const std::string& path) {
  require_free(path);
  write_text_file(path, compare_page(result));
}

}  // namespace hesse
