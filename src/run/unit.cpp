#include "run/unit.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include "base/sha256.h"
#include "hesse/error.h"
#include "run/fates.h"

namespace hesse {
namespace {

// JSON has no numbers for these.
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Json number_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

double number_from_json(const Json& json, std::string_view name) {
  if (!json.is_string()) return json.as_double(name);
  const std::string& text = json.as_string(name);
  return text == "inf" ? kInfinity : text == "-inf" ? -kInfinity : std::numeric_limits<double>::quiet_NaN();
}

const Json& member(const Json& object, std::string_view name) {
  if (const Json* value = object.find(name)) return *value;
  throw Error(ErrorKind::kBadInput, fmt::format("[journal] an entry without \"{}\"", name));
}

LinearStatus status_from_name(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(LinearStatus::kSkipped); ++i) {
    if (status_name(static_cast<LinearStatus>(i)) == name) return static_cast<LinearStatus>(i);
  }
  throw Error(ErrorKind::kBadInput, fmt::format("[journal] unknown status \"{}\"", name));
}

class FieldWriter {
 public:
  Json take() { return std::move(object_); }
  template <class T>
  void operator()(std::string_view name, const T& field, Measured) {
    object_.set(name, value(field));
  }

 private:
  static Json value(const std::string& field) { return field; }
  static Json value(int64_t field) { return field; }
  static Json value(int field) { return field; }
  static Json value(bool field) { return field; }
  static Json value(double field) { return number_json(field); }
  static Json value(LinearStatus field) { return std::string(status_name(field)); }
  static Json value(const std::vector<int64_t>& field) {
    Json list = Json::array();
    for (const int64_t item : field) list.push_back(item);
    return list;
  }
  Json object_ = Json::object();
};

class FieldReader {
 public:
  explicit FieldReader(const Json& object) : object_(object) {}
  template <class T>
  void operator()(std::string_view name, T& field, Measured measured) const {
    // A record of an earlier version may lack what is not always there.
    if (measured == Measured::kSometimes && object_.find(name) == nullptr) return;
    read(member(object_, name), name, field);
  }

 private:
  static void read(const Json& json, std::string_view name, std::string& field) { field = json.as_string(name); }
  static void read(const Json& json, std::string_view name, int64_t& field) {
    field = json.is_null() ? -1 : json.as_int(name);
  }
  static void read(const Json& json, std::string_view name, int& field) { field = static_cast<int>(json.as_int(name)); }
  static void read(const Json& json, std::string_view name, bool& field) { field = json.as_bool(name); }
  // A record has null for what was not measured.
  static void read(const Json& json, std::string_view name, double& field) {
    field = json.is_null() ? -1 : number_from_json(json, name);
  }
  static void read(const Json& json, std::string_view name, LinearStatus& field) {
    field = status_from_name(json.as_string(name));
  }
  static void read(const Json& json, std::string_view name, std::vector<int64_t>& field) {
    if (json.is_null()) return;
    for (const Json& item : json.as_array(name)) field.push_back(item.as_int(name));
  }
  const Json& object_;
};

}  // namespace

std::vector<UnitPlace> unit_places(const Job& job) {
  std::vector<UnitPlace> places;
  const StageParts parts = parts_of(job);
  for (size_t layer = 0; layer < parts.size(); ++layer) {
    for (size_t stage = 0; stage < parts[layer].size(); ++stage) {
      if (parts[layer][stage] == StagePart::kAll)
        places.push_back({static_cast<int64_t>(layer), static_cast<int64_t>(stage)});
    }
  }
  return places;
}

Json linear_record_json(const LinearRecord& record) {
  FieldWriter writer;
  visit_linear_record(record, writer);
  return writer.take();
}

LinearRecord linear_record_from_json(const Json& json) {
  LinearRecord record;
  visit_linear_record(record, FieldReader(json));
  return record;
}

Json unit_json(const Unit& unit) {
  Json linears = Json::array();
  for (const UnitLinear& linear : unit.linears) {
    linears.push_back(Json::Object{{"digest", linear.digest}, {"record", linear_record_json(linear.record)}});
  }
  Json warnings = Json::array();
  for (const std::string& warning : unit.warnings) warnings.push_back(warning);
  return Json::Object{{"layer", unit.place.layer},       {"stage", unit.place.stage},    {"file", unit.file},
                      {"bytes", unit.sum.bytes},         {"sha256", unit.sum.sha256},    {"seconds", unit.seconds},
                      {"warnings", std::move(warnings)}, {"linears", std::move(linears)}};
}

Unit unit_from_json(const Json& json) {
  Unit unit;
  unit.place = {member(json, "layer").as_int("layer"), member(json, "stage").as_int("stage")};
  unit.file = member(json, "file").as_string("file");
  unit.sum = {member(json, "bytes").as_int("bytes"), member(json, "sha256").as_string("sha256")};
  unit.seconds = member(json, "seconds").as_double("seconds");
  for (const Json& warning : member(json, "warnings").as_array("warnings"))
    unit.warnings.push_back(warning.as_string("warning"));
  for (const Json& linear : member(json, "linears").as_array("linears")) {
    unit.linears.push_back(
        {linear_record_from_json(member(linear, "record")), member(linear, "digest").as_string("digest")});
  }
  return unit;
}

std::string digest(const QuantizedLinear& linear) {
  Sha256 hash;
  const std::array<int64_t, 3> shape{linear.out(), linear.in(), linear.scales.rows()};
  hash.update(shape.data(), sizeof shape);
  hash.update(linear.codes.data(), static_cast<size_t>(linear.codes.size()));
  hash.update(linear.scales.data(), static_cast<size_t>(linear.scales.size()) * sizeof(float));
  hash.update(linear.zeros.data(), static_cast<size_t>(linear.zeros.size()));
  hash.update(linear.group_of.data(), linear.group_of.size() * sizeof(int32_t));
  return hash.hex();
}

void write_unit_file(const Job& job, const std::vector<SolvedLinear>& solved, const std::filesystem::path& path) {
  const ExportFormat& format = working_format(*job.format);
  std::vector<TensorSpec> specs;
  for (const SolvedLinear& linear : solved) {
    if (!linear.packed) continue;
    const QuantizedLinear& packed = *linear.packed;
    for (TensorSpec& spec : format.tensors(linear.record.name, packed.out(), packed.in(), packed.spec))
      specs.push_back(std::move(spec));
  }
  SafetensorsWriter writer(path, layout_safetensors(std::move(specs)));
  for (const SolvedLinear& linear : solved) {
    if (!linear.packed) continue;
    format.write(linear.record.name, *linear.packed,
                 [&](std::string_view name, std::span<const std::byte> bytes) { writer.write(name, bytes); });
  }
  writer.finish();
}

QuantizedLinear read_packed(const Job& job, const Checkpoint& file, const UnitLinear& linear,
                            const Json& quantization_config) {
  QuantizedLinear packed = working_format(*job.format).read(file, linear.record.name, quantization_config);
  if (digest(packed) == linear.digest) return packed;
  throw Error(ErrorKind::kEnvironment,
              fmt::format("[resume] {}: '{}' is not what was written there; failing disk or memory?",
                          file.files().front().string(), linear.record.name));
}

}  // namespace hesse
