// Members of one config.json, read with a complaint that says where it stands. For the files that make a ModelConfig.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "io/json.h"
#include "model/arch.h"
#include "model/config.h"

namespace hesse {

class Fields {
 public:
  Fields(const Json& json, const std::string& where) : json_(json), where_(where) {}

  [[noreturn]] void refuse(const std::string& why) const;
  // The one of both names that the file has, else the first.
  std::string_view name_of(const Key& key) const;
  // 1 to limit; a `missing` of 0 means that the key must be there.
  int64_t size(std::string_view key, int64_t missing = 0, int64_t limit = std::numeric_limits<int32_t>::max()) const;
  // Like size, but 0 is a number too.
  int64_t count(std::string_view key, int64_t missing) const;
  double positive(const Json& object, std::string_view key, double missing) const;
  double positive(std::string_view key, double missing) const { return positive(json_, key, missing); }
  // 0 is a number too, and null is one: a rule that has no key says `missing`.
  float number(const NumberRule& rule) const;
  bool flag(std::string_view key, bool missing) const;
  bool flag(const FlagRule& rule) const { return rule.key.empty() ? rule.missing : flag(rule.key, rule.missing); }
  std::string text(const Json& object, std::string_view key, std::string_view missing) const;
  bool holds(const Condition& condition) const;
  const Json& json() const { return json_; }
  std::string path(std::string_view key) const;

 private:
  const Json& json_;
  const std::string& where_;
};

// The rotations of the layers; the sizes in `result` stand.
void read_ropes(const Fields& fields, const Family& family, ModelConfig& result);
// Heads of latent attention, from the widths of their parts.
void read_latent_heads(const Fields& fields, const Family& family, ModelConfig& result);
// Windows, and which layers rotate: [layers].
std::vector<LayerAttention> read_layers(const Fields& fields, const Family& family, int64_t layers);
// Sizes of the experts, and which layers have them.
ExpertsConfig read_experts(const Fields& fields, const Family& family, int64_t layers);

}  // namespace hesse
