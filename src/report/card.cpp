#include "report/card.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "report/report.h"
#include "report/utf8.h"

namespace hesse {
namespace {

constexpr size_t kWorstLinears = 3;

std::string mark(std::string_view section, bool end) {
  return fmt::format("<!-- {}hesse: {} -->\n", end ? "/" : "", section);
}

// Puts `text` in the place of the section of that name, or at the end.
void put_section(std::string& readme, std::string_view section, const std::string& text) {
  const std::string begin = mark(section, false), end = mark(section, true);
  const size_t from = readme.find(begin);
  const size_t to = from == std::string::npos ? from : readme.find(end, from);
  if (to != std::string::npos) {
    readme.replace(from, to + end.size() - from, begin + text + end);
    return;
  }
  if (!readme.empty()) readme += readme.ends_with('\n') ? "\n" : "\n\n";
  readme += begin + text + end;
}

// The lines between the two "---" at the top, if the card has them: [3 or 4, position of the second).
size_t end_of_header(const std::string& readme) {
  return readme.starts_with("---\n") ? readme.find("\n---\n", 3) : std::string::npos;
}

void put_header(std::string& readme, const CardFacts& facts) {
  const std::string base = fmt::format("base_model: {}", facts.base_model);
  const size_t end = end_of_header(readme);
  if (end == std::string::npos) {
    readme = fmt::format("---\n{}\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- {}\n---\n\n{}",
                         base, facts.format, readme);
  } else if (readme.substr(0, end).find("\nbase_model:") == std::string::npos) {
    readme.insert(end, "\n" + base);
  }
}

std::string group_text(int64_t size) {
  return size == -1 ? std::string("one scale a row") : fmt::format("groups of {}", size);
}

std::string calibration_line(const RunRecord& record) {
  if (record.calibration_sequences == 0) return "no calibration text (round to nearest)";
  std::vector<std::string> names;
  for (const TextFacts& source : record.calibration_sources) names.push_back(valid_utf8(source.name));
  return fmt::format("{} sequences, {} tokens of {}", record.calibration_sequences, record.calibration_tokens,
                     fmt::join(names, ", "));
}

// Name, and what the linear lost, as a row of a table; those that lost most.
std::string worst_linears(const RunRecord& record) {
  std::vector<const LinearRecord*> linears;
  for (const LinearRecord& linear : record.linears) {
    if (linear.relative_error >= 0) linears.push_back(&linear);
  }
  std::stable_sort(linears.begin(), linears.end(),
                   [](const LinearRecord* a, const LinearRecord* b) { return a->relative_error > b->relative_error; });
  if (linears.size() > kWorstLinears) linears.resize(kWorstLinears);
  std::string text;
  for (const LinearRecord* linear : linears)
    text += fmt::format("| `{}` | {:.3g} |\n", valid_utf8(linear->name), linear->relative_error);
  if (text.empty()) return "";
  return "\nThe linears that lost most, relative to their outputs on the calibration text:\n\n| linear | error |\n| "
         "--- "
         "| --- |\n" +
         text;
}

std::string quantization_section(const CardFacts& facts, const RunRecord& record) {
  const QuantizeOptions& o = record.options;
  std::string text = "## Quantization\n\n";
  text += fmt::format("Made from {} with Hesse {}.\n\n| | |\n| --- | --- |\n", facts.base_model, record.version);
  const auto row = [&](std::string_view key, const std::string& value) {
    text += fmt::format("| {} | {} |\n", key, value);
  };
  row("bits", fmt::format("{}, {}, {}", o.bits, group_text(o.group_size), o.symmetric ? "symmetric" : "asymmetric"));
  row("bits a weight, scales and zero points included", fmt::format("{:.3f}", record.bits_per_weight));
  row("method", fmt::format("{}, preset {}", o.method, o.preset));
  row("calibration", calibration_line(record));
  const double error = mean_relative_error(record);
  if (error >= 0) row("mean relative error of the outputs of a linear", fmt::format("{:.3g}", error));
  row("linears", fmt::format("{}, {} of them not solved", record.linears.size(), record.fallbacks()));
  text += worst_linears(record);
  return text +
         "\nPerplexity: `hesse eval` tells it for any text, against the original with `--against`. All figures of "
         "the run: `hesse-run.json`.\n";
}

std::string python_lines(std::string_view packages) {
  return fmt::format(
      "transformers{}:\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
      "model = AutoModelForCausalLM.from_pretrained(\"PATH\", device_map=\"auto\")\n"
      "tokenizer = AutoTokenizer.from_pretrained(\"PATH\")\n```\n",
      packages.empty() ? "" : fmt::format(" with {}", packages));
}

std::string_view packages_of(std::string_view format) {
  if (format == "compressed-tensors") return "`compressed-tensors`";
  if (format == "fp16" || format == "bf16") return "";
  return "`gptqmodel` and `optimum`";
}

std::string loading_section(const CardFacts& facts) {
  return fmt::format(
      "## Loading\n\nThe files are in the format `{}`; `PATH` is this directory or its name on a hub. `hesse check` on "
      "the "
      "original model says which kernels take these settings.\n\nvLLM: `vllm serve PATH`\n\nSGLang: `python -m "
      "sglang.launch_server --model-path PATH`\n\n{}",
      facts.format, python_lines(packages_of(facts.format)));
}

}  // namespace

std::string card_of_run(std::string readme, const CardFacts& facts, const RunRecord& record) {
  if (facts.hub) put_header(readme, facts);
  put_section(readme, "quantization", quantization_section(facts, record));
  put_section(readme, "loading", loading_section(facts));
  return readme;
}

std::string card_of_conversion(std::string readme, const CardFacts& facts) {
  if (facts.hub) put_header(readme, facts);
  put_section(readme, "loading", loading_section(facts));
  return readme;
}

std::string_view git_attributes() {
  return "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
         "*.model filter=lfs diff=lfs merge=lfs -text\n"
         "tokenizer.json filter=lfs diff=lfs merge=lfs -text\n";
}

}  // namespace hesse
