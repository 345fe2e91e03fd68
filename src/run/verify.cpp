#include "run/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

constexpr size_t kMostFindings = 20;
constexpr float kSmallestNormalHalf = 6.103515625e-05f;

Error bad(const std::string& what) { return Error(ErrorKind::kBadInput, "[verify] " + what); }

bool says_order(const Json& quantization) {
  const Json* value = quantization.find_value("desc_act");
  return value != nullptr && value->is_bool() && value->as_bool("desc_act");
}

}  // namespace

Verification::Verification(const Checkpoint& checkpoint, const Json& config_json, const ExportFormat& format,
                           Findings& findings)
    : checkpoint_(checkpoint),
      quantization_(*config_json.find_value("quantization_config")),
      format_(format),
      findings_(findings),
      modules_(packed_modules(format, checkpoint)) {}

void Verification::check_names() {
  if (modules_.empty()) {
    findings_.warning("packed.none", fmt::format("config.json says {}, but no linear is packed", format_.name()),
                      "loaders would look for tensors that are not there", "quantize again");
  }
  check_halves();
  findings_.attempt({"config.lists", "", "take config.json of the tool that made the files"}, [&] { check_lists(); });
  check_twin();
}

// Tensors of a packed linear without its codes, and plain weights beside them.
void Verification::check_halves() {
  const auto suffixes = format_.suffixes();
  for (const TensorView* tensor : checkpoint_.tensors()) {
    const std::string& name = tensor->spec.name;
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos || refused_ >= kMostFindings) continue;
    const std::string module = name.substr(0, dot);
    const bool part = std::find(suffixes.begin(), suffixes.end(), name.substr(dot + 1)) != suffixes.end();
    const bool packed = std::binary_search(modules_.begin(), modules_.end(), module);
    if (part && !packed) {
      ++refused_;
      findings_.error(
          bad(fmt::format("'{}' belongs to a packed linear, but there is no '{}.{}'", name, module, suffixes.front())),
          {"packed.incomplete", "the linear cannot be read", "fetch or make the files again"});
    } else if (packed && name.ends_with(".weight")) {
      ++refused_;
      findings_.error(bad(fmt::format("'{}' stands beside the packed form of the same linear", name)),
                      {"packed.twice", "engines take the one or the other", "remove one of them"});
    }
  }
}

void Verification::check_lists() {
  for (const std::string& module : format_.listed_as_plain(quantization_)) {
    if (!std::binary_search(modules_.begin(), modules_.end(), module)) continue;
    findings_.error(
        bad(fmt::format("the configuration lists '{}' as not quantized, but it is packed", module)),
        {"config.lists", "loaders make a plain linear of it and do not find its weight", "take it out of the list"});
  }
}

// Some loaders read the one file, some the other.
void Verification::check_twin() {
  const std::filesystem::path path = checkpoint_.directory() / "quantize_config.json";
  if (!std::filesystem::is_regular_file(path)) return;
  findings_.attempt({"config.twin", "loaders that read it fail", "remove it"}, [&] {
    const Json twin = Json::parse(read_text_file(path), "quantize_config.json");
    for (const char* key : {"bits", "group_size", "sym", "desc_act", "checkpoint_format", "quant_method"}) {
      const Json* here = quantization_.find_value(key);
      const Json* there = twin.find_value(key);
      if (here == nullptr || there == nullptr || here->dump() == there->dump()) continue;
      findings_.error(bad(fmt::format("'{}' is {} in config.json and {} in quantize_config.json", key, here->dump(),
                                      there->dump())),
                      {"config.twin", "loaders that read different files see different models", "make them equal"});
    }
  });
}

void Verification::check_linear(const std::string& module) {
  if (refused_ >= kMostFindings) return;
  const bool read = findings_.attempt({"packed.unreadable", "no engine can load it", "fetch or make the files again"},
                                      [&] { check_grid(module, format_.read(checkpoint_, module, quantization_)); });
  checkpoint_.release_module(module);
  read ? ++sound_ : static_cast<int64_t>(++refused_);
}

void Verification::check_grid(const std::string& module, const QuantizedLinear& linear) {
  if (form_of(linear).act_order) ++ordered_;
  int64_t zero_scales = 0;
  for (int64_t i = 0; i < linear.scales.size(); ++i) {
    const float size = std::abs(linear.scales.data()[i]);
    zero_scales += size == 0 ? 1 : 0;
    if (size == 0 || size >= kSmallestNormalHalf) continue;
    if (subnormal_++ == 0) subnormal_in_ = module;
  }
  if (zero_scales > 0) {
    findings_.warning("grid.zero-scale", fmt::format("'{}' has {} scales that are 0", module, zero_scales),
                      "their weights are 0 whatever the codes say", "");
  }
  const uint8_t* zeros = linear.zeros.data();
  const int64_t odd =
      std::count_if(zeros, zeros + linear.zeros.size(), [&](uint8_t zero) { return zero > linear.spec.max_code(); });
  const int64_t none = std::count(zeros, zeros + linear.zeros.size(), uint8_t{0});
  if (odd > 0 || (none > 0 && format_.config_file() == "quantize_config.json")) {
    findings_.warning(
        "grid.zero-point",
        fmt::format("'{}' has {} zero points that are 0 and {} above {}", module, none, odd, linear.spec.max_code()),
        "programs disagree on what these mean", "quantize again");
  }
}

void Verification::summarize() {
  if (ordered_ > 0 && quantization_.find_value("desc_act") != nullptr && !says_order(quantization_)) {
    findings_.error(
        bad(fmt::format("desc_act is false, but the groups of {} linears do not lie side by side", ordered_)),
        {"config.desc_act", "vLLM and SGLang leave g_idx unread then, and compute another model",
         "set desc_act to true"});
  }
  if (ordered_ == 0 && says_order(quantization_)) {
    findings_.note("config.desc_act", "desc_act is true although all groups lie side by side",
                   "engines take slower kernels", "set desc_act to false");
  }
  if (subnormal_ > 0) {
    findings_.note("grid.small-scale",
                   fmt::format("{} scales are below 6.1e-5, the first in '{}'", subnormal_, subnormal_in_),
                   "kernels that flush subnormal halves take them for 0", "");
  }
  if (sound_ > 0) {
    findings_.good("packed.readable", fmt::format("{} packed linears of {} can be read and agree with config.json",
                                                  sound_, modules_.size()));
  }
}

}  // namespace hesse
