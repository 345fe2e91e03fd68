#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/text.h"
#include "hesse/api.h"

namespace hesse {
namespace {

const Manual kManual = {
    "inspect",
    "what a model is made of, and which group sizes fit it",
    "MODEL [flags]",
    "  hesse inspect Llama-3.2-1B\n"
    "  hesse inspect Llama-3.2-1B --verbose\n"
    "      every tensor as well\n"
    "  hesse inspect Llama-3.2-1B --json\n"
    "  hesse inspect --families\n"
    "      the models that can be run\n",
};

std::string group_sizes(const ModelInfo& info) {
  std::vector<std::string> sizes;
  for (const int64_t size : info.group_sizes) sizes.push_back(size == -1 ? "-1 (a row)" : fmt::format("{}", size));
  return fmt::format("{}", fmt::join(sizes, ", "));
}

std::string facts(const ModelInfo& info, const std::string& model) {
  const std::string heads = fmt::format("{}, {} for keys and values, of {}", info.heads, info.kv_heads, info.head_dim);
  const std::string tensors =
      fmt::format("{} in {}", format_bytes(info.bytes), counted(static_cast<int64_t>(info.tensors.size()), "tensor"));
  std::string text;
  text += fact("model", model);
  text += fact("family", info.family);
  text += fact("format", info.format);
  text += fact("parameters", format_count(info.parameters));
  text += fact("size", tensors);
  text += fact("layers", fmt::format("{}", info.layers));
  text += fact("hidden", fmt::format("{}", info.hidden));
  text += fact("intermediate", fmt::format("{}", info.intermediate));
  text += fact("heads", heads);
  text += fact("vocabulary", fmt::format("{}", info.vocab));
  text += fact("positions", fmt::format("{}", info.max_positions));
  text += fact("rope", info.rope);
  text += fact("output head", info.tied_head ? "the embedding (tied)" : "a matrix of its own");
  text += fact("group sizes", group_sizes(info));
  return text;
}

// The linears of the first layer, those that read the same input together.
std::string sharing_table(const ModelInfo& info) {
  if (info.linears.empty()) return "";
  std::vector<LinearInfo> layer;
  std::copy_if(info.linears.begin(), info.linears.end(), std::back_inserter(layer),
               [&](const LinearInfo& linear) { return linear.layer == info.linears.front().layer; });
  std::vector<std::string> order;
  size_t longest = 0;
  for (const LinearInfo& linear : layer) {
    longest = std::max(longest, linear.name.size());
    if (std::find(order.begin(), order.end(), linear.sharing) == order.end()) order.push_back(linear.sharing);
  }
  std::string text = fmt::format("\n{}; those of layer {}, by the input they read (out x in):\n",
                                 counted(static_cast<int64_t>(info.linears.size()), "linear"), layer.front().layer);
  for (const std::string& sharing : order) {
    text += fmt::format("  {}\n", sharing);
    for (const LinearInfo& linear : layer) {
      if (linear.sharing == sharing)
        text += fmt::format("    {:<{}}  {} x {}\n", linear.name, longest, linear.out, linear.in);
    }
  }
  return text;
}

std::string tensor_table(const ModelInfo& info) {
  size_t longest = 0;
  for (const TensorInfo& tensor : info.tensors) longest = std::max(longest, tensor.name.size());
  std::string text = "\ntensors:\n";
  for (const TensorInfo& tensor : info.tensors) {
    text += fmt::format("  {:<{}}  {:<5} {:>9}  {}\n", tensor.name, longest, tensor.dtype, format_bytes(tensor.bytes),
                        fmt::join(tensor.shape, " x "));
  }
  return text;
}

std::string family_table() {
  std::string text;
  for (const FamilyInfo& family : known_families()) {
    text += fmt::format("{}\n", family.name);
    text += fmt::format("  model_type   {}\n", fmt::join(family.model_types, ", "));
    std::vector<std::string> groups;
    for (const std::vector<std::string>& group : family.sharing)
      groups.push_back(fmt::format("{}", fmt::join(group, " ")));
    text += fmt::format("  linears      {}\n", wrap(fmt::format("{}", fmt::join(groups, " | ")), 15, 110));
    text += fmt::format("  notes        {}\n", wrap(family.notes, 15, 110));
    text += fmt::format("  tested with  {}\n", family.tested_with);
  }
  return text + "\nLinears between two bars read the same input and share a Hessian.\n";
}

}  // namespace

int run_inspect(const Arguments& arguments) {
  InspectOptions options;
  Manner manner;
  if (!parse_command(kManual, arguments, options, manner)) return kExitFine;
  Console console(manner);
  if (options.families) {
    console.output(manner.json ? to_json(known_families()) + '\n' : family_table());
    return kExitFine;
  }
  const ModelInfo info = inspect(options);
  if (manner.json) {
    console.output(to_json(info) + '\n');
  } else {
    console.output(facts(info, options.model) + sharing_table(info) + (manner.verbose ? tensor_table(info) : ""));
  }
  return kExitFine;
}

}  // namespace hesse
