#include "run/unit.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>

#include "base/rng.h"
#include "hesse/error.h"
#include "run/random_calibration.h"

namespace hesse {
namespace {

// Sets every field to something of its own.
class Scramble {
 public:
  explicit Scramble(Rng& rng) : rng_(rng) {}
  void operator()(std::string_view, std::string& field, Measured) const {
    field = "model.layers.0.\"odd\"\n\xC3\xA9." + std::to_string(rng_.next());
  }
  void operator()(std::string_view, int64_t& field, Measured) const { field = static_cast<int64_t>(rng_.next()); }
  void operator()(std::string_view, int& field, Measured) const { field = static_cast<int>(rng_.next()); }
  void operator()(std::string_view, std::vector<int64_t>& field, Measured) const {
    field.resize(rng_.below(4));
    for (int64_t& count : field) count = static_cast<int64_t>(rng_.next());
  }
  void operator()(std::string_view, bool& field, Measured) const { field = rng_.below(2) == 0; }
  void operator()(std::string_view, LinearStatus& field, Measured) const {
    field = static_cast<LinearStatus>(rng_.below(6));
  }
  void operator()(std::string_view, double& field, Measured) const {
    const double odd[] = {0.0,
                          -0.0,
                          -1.0,
                          1.0 / 3,
                          std::numeric_limits<double>::denorm_min(),
                          std::numeric_limits<double>::max(),
                          std::numeric_limits<double>::infinity(),
                          -std::numeric_limits<double>::infinity()};
    const uint64_t choice = rng_.below(16);
    field = choice < 8 ? odd[choice] : std::bit_cast<double>(rng_.next());
    if (field != field) field = 1e-17;
  }

 private:
  Rng& rng_;
};

// The bytes of every field.
std::string bytes_of(const LinearRecord& record) {
  std::string bytes;
  visit_linear_record(record, [&](std::string_view, const auto& field, Measured) {
    if constexpr (std::is_same_v<std::decay_t<decltype(field)>, std::string>) {
      bytes += field;
    } else if constexpr (std::is_same_v<std::decay_t<decltype(field)>, std::vector<int64_t>>) {
      for (const int64_t count : field) bytes += std::to_string(count) + ",";
    } else {
      bytes.append(reinterpret_cast<const char*>(&field), sizeof field);
    }
  });
  return bytes;
}

TEST(Unit, RecordsComeBackToTheLastBit) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  Rng rng(test_seed());
  EXPECT_EQ(bytes_of(linear_record_from_json(linear_record_json({}))), bytes_of({}));
  for (int round = 0; round < 200; ++round) {
    LinearRecord record;
    visit_linear_record(record, Scramble(rng));
    const Json json = Json::parse(linear_record_json(record).dump(), "test");
    ASSERT_EQ(bytes_of(linear_record_from_json(json)), bytes_of(record)) << json.dump();
  }
}

// A field that the visitor forgets would be lost on resuming and missing in the record.
TEST(Unit, TheVisitorKnowsEveryByteOfTheRecord) {
  size_t bytes = 0;
  int fields = 0;
  const LinearRecord record;
  visit_linear_record(record, [&](std::string_view, const auto& field, Measured) {
    bytes += sizeof field;
    ++fields;
  });
  EXPECT_EQ(fields, 32);
  EXPECT_LE(sizeof(LinearRecord) - bytes, 4u * 8) << "what is more than padding is a field";
}

Unit some_unit() {
  Unit unit;
  unit.place = {3, 1};
  unit.file = "f";
  unit.sum.bytes = 17;
  unit.sum.sha256 = "ab";
  unit.linears.resize(2);
  unit.linears[0].digest = "d";
  unit.warnings = {"w", "\"x"};
  unit.seconds = 0.1;
  return unit;
}

TEST(Unit, ComesBackWithItsWarnings) {
  const Unit unit = some_unit();
  const Unit back = unit_from_json(Json::parse(unit_json(unit).dump(), "test"));
  EXPECT_EQ(back.place, unit.place);
  EXPECT_EQ(back.file, unit.file);
  EXPECT_EQ(back.sum, unit.sum);
  EXPECT_EQ(back.warnings, unit.warnings);
  EXPECT_EQ(back.seconds, unit.seconds);
  ASSERT_EQ(back.linears.size(), 2u);
  EXPECT_EQ(back.linears[0].digest, "d");
  EXPECT_EQ(back.linears[1].digest, "");
}

TEST(Unit, WhatDoesNotFitIsRefused) {
  const Json good = unit_json(some_unit());
  for (const auto& [name, value] : good.as_object("unit")) {
    Json without = Json::object(), wrong = good;
    for (const auto& [other, kept] : good.as_object("unit")) {
      if (other != name) without.set(other, kept);
    }
    wrong.set(name, Json());
    EXPECT_THROW(unit_from_json(without), Error) << name;
    EXPECT_THROW(unit_from_json(wrong), Error) << name;
  }
  EXPECT_THROW(unit_from_json(Json()), Error);
}

}  // namespace
}  // namespace hesse
