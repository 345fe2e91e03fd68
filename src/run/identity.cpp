#include "run/identity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

#include "base/sha256.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

// These change when a run ends, where its result lies or how it is cut into files, but no tensor of it. The calibration
// texts count by their windows, the model by its files, recipes by what they decide.
const std::set<std::string_view> kDecideNothing = {
    "output",         "calib",       "preset",       "max-nonfinite", "strict",  "disk",        "overwrite",
    "max-early-loss", "check",       "shard-size",   "hub-layout",    "resume",  "memory",      "threads",
    "recipe",         "bits-target", "bits-choices", "measurement",   "protect", "print-recipe"};

class OptionFacts {
 public:
  explicit OptionFacts(Facts& facts) : facts_(facts) {}
  template <class T>
  void operator()(std::string_view flag, const T& field, std::string_view /*help*/) {
    if (kDecideNothing.count(flag) == 0) facts_.emplace_back(fmt::format("--{}", flag), value(field));
  }

 private:
  template <class T>
  static std::string value(const T& field) {
    return fmt::format("{}", field);
  }
  static std::string value(const std::vector<std::string>& field) { return fmt::format("{}", fmt::join(field, ", ")); }
  Facts& facts_;
};

constexpr std::string_view kChoices = "what the recipe decides";

// The header, the size, and pieces from all over the file: another model differs nearly everywhere, and a hundred
// gigabytes need not be read for that.
void add_weight_file(const fs::path& path, Sha256& hash) {
  constexpr int64_t kPieces = 64, kPieceBytes = 4096;
  const MappedFile file(path);
  const int64_t size = file.size();
  hash.update(&size, sizeof size);
  const auto add = [&](int64_t first, int64_t count) {
    hash.update(file.bytes().data() + first, static_cast<size_t>(std::min(count, size - first)));
  };
  int64_t header = 0;
  if (size >= static_cast<int64_t>(sizeof header)) std::memcpy(&header, file.bytes().data(), sizeof header);
  add(0, std::clamp<int64_t>(header, 0, size) + static_cast<int64_t>(sizeof header));
  if (size <= kPieces * kPieceBytes) return add(0, size);
  for (int64_t i = 0; i < kPieces; ++i) {
    const int64_t last = size - kPieceBytes;
    add(last / (kPieces - 1) * i, kPieceBytes);
  }
  add(size - kPieceBytes, kPieceBytes);
}

std::string choices_fingerprint(const Job& job) {
  std::string text;
  for (const auto& [linear, choice] : job.choices) {
    text += choice.skip ? linear + ": none\n"
                        : fmt::format("{}: {}, damping {}\n", linear, to_text(choice.spec), choice.damping);
  }
  return sha256_hex(text);
}

std::string difference(const std::string& name, const std::string* before, const std::string* now) {
  if (name == "the model" || name == "the calibration text" || name == kEarlierResult || name == kChoices)
    return name + " is another one";
  return fmt::format("{} was {}, now {}", name, before != nullptr ? *before : "unknown",
                     now != nullptr ? *now : "unknown");
}

const std::string* find(const Facts& facts, const std::string& name) {
  const auto found = std::find_if(facts.begin(), facts.end(), [&](const auto& fact) { return fact.first == name; });
  return found == facts.end() ? nullptr : &found->second;
}

}  // namespace

std::string model_fingerprint(const Job& job) {
  Sha256 hash;
  const std::string config = job.config_json.dump();
  hash.update(config.data(), config.size());
  for (const fs::path& file : job.checkpoint->files()) add_weight_file(file, hash);
  return hash.hex();
}

std::string calibration_fingerprint(const Job& job) {
  if (!job.windows) return "none";
  const Matrix<int32_t>& ids = job.windows->ids;
  Sha256 hash;
  const int64_t shape[] = {ids.rows(), ids.cols()};
  hash.update(shape, sizeof shape);
  hash.update(ids.data(), static_cast<size_t>(ids.size()) * sizeof(int32_t));
  return hash.hex();
}

Identity identity_of(const Job& job, const std::string& version, Facts arithmetic) {
  Identity identity{{}, std::move(arithmetic)};
  identity.decides.emplace_back("Hesse's version", version);
  visit_options(job.options, OptionFacts(identity.decides));
  identity.decides.emplace_back("the model", model_fingerprint(job));
  identity.decides.emplace_back("the calibration text", calibration_fingerprint(job));
  if (!job.choices.empty()) identity.decides.emplace_back(kChoices, choices_fingerprint(job));
  if (job.earlier) identity.decides.emplace_back(kEarlierResult, job.earlier->fingerprint());
  identity.decides.emplace_back("the type of the products", compute_name(job.compute.type));
  identity.arithmetic.emplace_back("memory for Hessians", fmt::format("{} bytes", job.hessian_memory_bytes));
  return identity;
}

Facts without_earlier_result(Facts facts) {
  std::erase_if(facts, [](const auto& fact) { return fact.first == kEarlierResult; });
  return facts;
}

Json facts_json(const Facts& facts) {
  Json object = Json::object();
  for (const auto& [name, value] : facts) object.set(name, value);
  return object;
}

Facts facts_from_json(const Json& json) {
  Facts facts;
  for (const auto& [name, value] : json.as_object("facts")) facts.emplace_back(name, value.as_string(name));
  return facts;
}

std::string differences(const Facts& before, const Facts& now) {
  std::vector<std::string> found;
  for (const auto& [name, value] : before) {
    const std::string* other = find(now, name);
    if (other == nullptr || *other != value) found.push_back(difference(name, &value, other));
  }
  for (const auto& [name, value] : now) {
    if (find(before, name) == nullptr) found.push_back(difference(name, nullptr, &value));
  }
  return fmt::format("{}", fmt::join(found, "; "));
}

}  // namespace hesse
