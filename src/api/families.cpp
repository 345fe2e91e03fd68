#include "api/families.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "hesse/api.h"
#include "model/model.h"
#include "model/tensors.h"

namespace hesse {
namespace {

std::vector<std::string> strings(const std::vector<std::string_view>& views) { return {views.begin(), views.end()}; }

// The smallest config that has the stages of the row.
ModelConfig config_of(const Family& family) {
  ModelConfig config;
  config.family = &family;
  config.schemes = family.schemes;
  config.layers = config.hidden = config.embedding_width = config.intermediate = 1;
  config.heads = config.kv_heads = config.head_dim = config.vocab = 1;
  config.residual_scale = 1;
  config.layer_attention = {{}};
  if (!family.experts.router.empty())
    config.experts = {.count = 1, .per_token = 1, .width = 1, .shared_width = 1, .layers = {true}};
  if (family.experts.shared.empty()) config.experts.shared_width = 0;
  if (family.attention == AttentionKind::kLatent)
    config.latent = {.q_rank = 1, .kv_rank = 1, .nope = 1, .rope = 1, .value = 1};
  return config;
}

FamilyInfo describe(const Family& family) {
  FamilyInfo info{.name = std::string(family.name),
                  .model_types = strings(family.model_types),
                  .sharing = {},
                  .notes = std::string(family.notes),
                  .tested_with = std::string(family.tested_with)};
  const ModelConfig config = config_of(family);
  const size_t prefix = config.in_layer(0, "").size();
  for (const StageShape& stage : layer_stages(config, 0)) {
    info.sharing.emplace_back();
    for (const LinearShape& linear : stage.linears) info.sharing.back().push_back(linear.name.substr(prefix));
  }
  return info;
}

const Family* row_of_type(std::string_view type) {
  for (const Family& family : families()) {
    const auto& types = family.model_types;
    if (family.name == type || std::find(types.begin(), types.end(), type) != types.end()) return &family;
  }
  return nullptr;
}

struct Candidate {
  std::string name;
  double share = 0;  // of the tensors on either side, those on both
  bool fits = false;
};

std::optional<Candidate> compare(const Family& family, const Json& config_json, const Checkpoint& checkpoint) {
  Candidate candidate{.name = std::string(family.model_types.front())};
  try {
    if (find_family(config_as(config_json, candidate.name), "config.json") != &family) return std::nullopt;
    const ModelConfig read = parse_model_config(config_as(config_json, candidate.name), family, "config.json");
    const CheckpointSource source(checkpoint, read);
    const ModelConfig config = choose_scheme(read, source);
    const std::vector<std::string> names = tensor_names(config);
    const size_t tensors = source.plain_tensors(ExpertsForm::kApart).size();
    const auto has = [&](const std::string& name) { return source.has(name); };
    const double both = static_cast<double>(std::count_if(names.begin(), names.end(), has));
    const double all = static_cast<double>(names.size() + tensors) - both;
    candidate.share = both / all;
    // The head may be the embedding, and so missing.
    candidate.fits =
        both + 1 >= static_cast<double>(std::max(names.size(), tensors)) && tensor_problems(config, source).empty();
    return candidate;
  } catch (const Error&) {
    return std::nullopt;  // the config does not say what the family needs
  }
}

// Best first.
std::vector<Candidate> near_families(const Json& config_json, const Checkpoint& checkpoint) {
  constexpr double kNear = 0.5;
  constexpr size_t kMost = 4;
  std::vector<Candidate> found;
  for (const Family& family : families()) {
    const std::optional<Candidate> candidate = compare(family, config_json, checkpoint);
    const auto same = [&](const Candidate& other) { return other.name == candidate->name; };
    if (!candidate || candidate->share < kNear || std::any_of(found.begin(), found.end(), same)) continue;
    found.push_back(*candidate);
  }
  std::stable_sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) {
    return std::pair(a.fits, a.share) > std::pair(b.fits, b.share);
  });
  if (found.size() > kMost) found.resize(kMost);
  return found;
}

std::string type_of(const Json& config_json) {
  const Json* type = config_json.find_value("model_type");
  return type != nullptr && type->is_string() ? type->as_string("model_type") : "";
}

}  // namespace

std::vector<FamilyInfo> known_families() {
  std::vector<FamilyInfo> all;
  for (const Family& family : families()) all.push_back(describe(family));
  for (const Wrapper& wrapper : wrappers()) {
    FamilyInfo info = describe(*row_of_type(wrapper.text_type));
    info.notes = fmt::format("the text of a larger model, by default '{}'; its other tensors are copied", info.name);
    info.name = wrapper.model_type;
    info.model_types = {std::string(wrapper.model_type)};
    all.push_back(std::move(info));
  }
  return all;
}

Json config_as(const Json& config_json, const std::string& as) {
  if (as.empty()) return config_json;
  const Family* family = row_of_type(as);
  if (family == nullptr && find_wrapper(as) == nullptr) {
    std::vector<std::string_view> names;
    for (const Family& row : families()) names.push_back(row.model_types.front());
    throw Error(ErrorKind::kUsage, fmt::format("[options] as is '{}'; there is no such family, 'hesse inspect "
                                               "--families' lists them",
                                               as));
  }
  Json config = config_json;
  config.set("model_type", Json(family == nullptr ? as : std::string(family->model_types.front())));
  return config;
}

bool is_unknown_type(const Json& config_json) {
  const std::string type = type_of(config_json);
  return !type.empty() && row_of_type(type) == nullptr && find_wrapper(type) == nullptr;
}

Error unknown_type(const Json& config_json, const Checkpoint& checkpoint) {
  std::vector<std::string> fit, near;
  for (const Candidate& candidate : near_families(config_json, checkpoint)) {
    if (candidate.fits) {
      fit.push_back(candidate.name);
    } else {
      near.push_back(fmt::format("{} ({:.0f} % of the tensors)", candidate.name, 100 * candidate.share));
    }
  }
  std::string text = fmt::format("[config] config.json: architecture '{}' is not supported; ", type_of(config_json));
  if (!fit.empty()) {
    text += fmt::format("its tensors are those of {}: --as {} takes it for that", fmt::join(fit, ", "), fit.front());
  } else if (!near.empty()) {
    text += fmt::format("nearest by its tensors: {}", fmt::join(near, ", "));
  } else {
    text += "its tensors are like those of no known family; 'hesse inspect --families' lists them";
  }
  return {ErrorKind::kBadInput, text};
}

}  // namespace hesse
