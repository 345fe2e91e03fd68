// The fields of config.json that are about experts.
#include <fmt/format.h>

#include <algorithm>

#include "model/config_fields.h"

namespace hesse {
namespace {

// Far above any model; their names are listed.
constexpr int64_t kMostExperts = 16384, kMostInAllLayers = int64_t{1} << 18;

std::vector<bool> read_sparse_layers(const Fields& fields, const SparseLayers& rule, int64_t layers) {
  std::vector<bool> sparse(static_cast<size_t>(layers), true);
  if (!rule.dense_key.empty()) {
    if (const Json* list = fields.json().find_value(rule.dense_key)) {
      for (const Json& entry : list->as_array(fields.path(rule.dense_key))) {
        const int64_t layer = entry.as_int(fields.path(rule.dense_key));
        if (layer >= 0 && layer < layers) sparse[static_cast<size_t>(layer)] = false;
      }
    }
  }
  const int64_t step = rule.step_key.empty() ? 1 : fields.size(rule.step_key, 1);
  const bool given = !rule.first_key.empty() && fields.json().find_value(rule.first_key) != nullptr;
  const int64_t first = given ? fields.count(rule.first_key, 0) : rule.first;
  for (int64_t l = 0; l < layers; ++l) {
    if ((l + 1) % step != 0 || l < first) sparse[static_cast<size_t>(l)] = false;
  }
  return sparse;
}

void read_groups(const Fields& fields, const ExpertsRule& rule, ExpertsConfig& experts) {
  if (rule.groups_key.empty()) return;
  if (!rule.method_key.empty() && fields.text(fields.json(), rule.method_key, "") != rule.grouped_method) return;
  experts.groups = fields.size(rule.groups_key, rule.groups);
  experts.kept_groups = fields.size(rule.kept_key, std::min(rule.kept, experts.groups), experts.groups);
  if (experts.count % experts.groups != 0 || experts.count / experts.groups < rule.group_best)
    fields.refuse(
        fmt::format("{} experts are not {} groups of at least {}", experts.count, experts.groups, rule.group_best));
  if (experts.count / experts.groups * experts.kept_groups < experts.per_token)
    fields.refuse(fmt::format("{} groups of {} experts have no {} for each token", experts.kept_groups,
                              experts.count / experts.groups, experts.per_token));
}

int64_t read_shared_width(const Fields& fields, const ExpertsRule& rule, int64_t width) {
  if (rule.shared.empty()) return 0;
  if (!rule.shared_width_key.empty()) return fields.size(rule.shared_width_key);
  const int64_t times = fields.count(rule.shared_count_key, rule.shared_count);
  if (times > kMostExperts)
    fields.refuse(fmt::format("'{}' is {}; at most {}", rule.shared_count_key, times, kMostExperts));
  return times * width;
}

}  // namespace

ExpertsConfig read_experts(const Fields& fields, const Family& family, int64_t layers) {
  const ExpertsRule& rule = family.experts;
  ExpertsConfig experts;
  if (rule.router.empty()) return experts;
  experts.count = fields.size(fields.name_of({rule.count_key, rule.older_count_key}), 0, kMostExperts);
  if (experts.count > std::max<int64_t>(1, kMostInAllLayers / layers))
    fields.refuse(fmt::format("{} layers of {} experts are too many", layers, experts.count));
  experts.per_token = fields.size("num_experts_per_tok", rule.per_token, experts.count);
  experts.width = fields.size(rule.width_key);
  experts.layers = read_sparse_layers(fields, rule.layers, layers);
  experts.normalised =
      rule.normalised_key.empty() ? rule.normalised : fields.flag(rule.normalised_key, rule.normalised);
  experts.biases = rule.biases;
  experts.scale = rule.scale_key.empty() ? 1 : static_cast<float>(fields.positive(rule.scale_key, rule.scale));
  read_groups(fields, rule, experts);
  experts.shared_width = read_shared_width(fields, rule, experts.width);
  return experts;
}

}  // namespace hesse
