// What every row of the table of export formats must do; a new row is tested by standing in the table.
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <set>

#include "formats/format.h"
#include "formats/random_linear.h"
#include "formats/stored_tensors.h"
#include "hesse/error.h"

namespace hesse {
namespace {

using testing::HasSubstr;

constexpr const char* kModule = "model.layers.0.self_attn.q_proj";

struct Shape {
  int64_t out, in;
};
constexpr Shape kShapes[] = {{32, 32}, {32, 64}, {96, 32}, {16, 48}, {8, 40}, {4, 4}, {64, 160}, {33, 64}, {32, 70}};
constexpr int64_t kGroupSizes[] = {-1, 1, 16, 32, 33, 64, 128};

std::string describe(const ExportFormat& format, int64_t out, int64_t in, const LinearSpec& spec) {
  return fmt::format("{} [{}, {}] {} bits, group size {}, {}", format.name(), out, in, spec.bits, spec.group_size,
                     spec.symmetric ? "sym" : "asym");
}

// Calls body(out, in, spec) for every combination that the format says it can store.
template <class Body>
void for_each_storable(const ExportFormat& format, const Body& body) {
  for (const Shape& shape : kShapes) {
    for (const int bits : {2, 3, 4, 8}) {
      for (const int64_t group_size : kGroupSizes) {
        for (const bool symmetric : {true, false}) {
          const LinearSpec spec{.bits = bits, .group_size = group_size, .symmetric = symmetric};
          if (!format.why_not(shape.out, shape.in, spec).empty()) continue;
          SCOPED_TRACE(describe(format, shape.out, shape.in, spec));
          body(shape.out, shape.in, spec);
        }
      }
    }
  }
}

// All linears of a format share one checkpoint: syncing a file each would take most of the time.
TEST(ExportFormats, ReadingGivesBackWhatWasWritten) {
  const uint64_t seed = 20240603u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  for (const ExportFormat* format : export_formats()) {
    if (!format->keeps_codes()) continue;
    std::vector<QuantizedLinear> linears;
    std::vector<StoredTensor> stored;
    const auto module = [](size_t index) { return fmt::format("model.layers.{}.self_attn.q_proj", index); };
    for_each_storable(*format, [&](int64_t out, int64_t in, const LinearSpec& spec) {
      linears.push_back(random_linear(out, in, spec, rng));
      const StoredTensors tensors(*format, module(linears.size() - 1), linears.back());
      stored.insert(stored.end(), tensors.all().begin(), tensors.all().end());
    });
    EXPECT_GE(linears.size(), 30u) << format->name() << " stores hardly anything";

    const CheckpointOnDisk disk(stored);
    const Checkpoint checkpoint = disk.open();
    EXPECT_FALSE(format->has(checkpoint, module(linears.size())));
    EXPECT_THROW(format->size(checkpoint, module(linears.size())), Error);
    for (size_t i = 0; i < linears.size(); ++i) {
      const LinearSpec& spec = linears[i].spec;
      SCOPED_TRACE(describe(*format, linears[i].out(), linears[i].in(), spec));
      EXPECT_TRUE(format->has(checkpoint, module(i)));
      const LinearSize size = format->size(checkpoint, module(i));
      EXPECT_EQ(size.out, linears[i].out());
      EXPECT_EQ(size.in, linears[i].in());
      expect_same(format->read(checkpoint, module(i), format->config({.spec = spec})), linears[i]);
    }
  }
}

// One configuration for linears that differ, whatever most of them have.
TEST(ExportFormats, LinearsThatDifferAreReadBackByOneConfiguration) {
  Rng rng(11);
  for (const ExportFormat* format : export_formats()) {
    if (!format->keeps_codes() || !format->mixes()) continue;
    std::vector<PackedModule> packed;
    std::vector<QuantizedLinear> linears;
    std::vector<StoredTensor> stored;
    for (const int bits : {2, 3, 4, 8, 4}) {
      for (const int64_t group : {32, 64, -1}) {
        const LinearSpec spec{.bits = bits, .group_size = group, .symmetric = format->name() == "gptq" || group == 32};
        packed.push_back({fmt::format("model.layers.{}.mlp.down_proj", packed.size()), spec});
        linears.push_back(random_linear(32, 128, spec, rng));
        const StoredTensors tensors(*format, packed.back().name, linears.back());
        stored.insert(stored.end(), tensors.all().begin(), tensors.all().end());
      }
    }
    const LinearSpec most = most_common_spec(packed);
    EXPECT_EQ(most.bits, 4);
    const Json written = format->config({.spec = most, .packed = packed});
    const Json config = Json::parse(written.dump(2), "config.json");
    EXPECT_EQ(format_of(&config), format);
    const CheckpointOnDisk disk(stored);
    for (size_t i = 0; i < packed.size(); ++i) {
      SCOPED_TRACE(describe(*format, 32, 128, packed[i].spec));
      expect_same(format->read(disk.open(), packed[i].name, config), linears[i]);
    }
  }
}

// Every packed tensor is known by its suffix, and the first suffix says that a linear is packed.
TEST(ExportFormats, PackedModulesAreFoundByTheirTensors) {
  Rng rng(3);
  for (const ExportFormat* format : export_formats()) {
    if (!format->keeps_codes()) continue;
    const StoredTensors stored(*format, kModule, random_linear(32, 64, {.group_size = 32}, rng));
    std::set<std::string> known;
    for (const std::string_view suffix : format->suffixes()) known.insert(fmt::format("{}.{}", kModule, suffix));
    for (const StoredTensor& tensor : stored.all()) EXPECT_EQ(known.count(tensor.spec.name), 1u) << tensor.spec.name;
    const CheckpointOnDisk disk(stored.all());
    EXPECT_EQ(packed_modules(*format, disk.open()), std::vector<std::string>{kModule});
    EXPECT_TRUE(packed_modules(export_format("fp16"), disk.open()).empty());
  }
}

// One changed byte of a tensor may change values or be refused, nothing else.
TEST(ExportFormats, DamagedBytesAreRefusedOrDecoded) {
  const uint64_t seed = 20261123u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  for (const ExportFormat* format : export_formats()) {
    if (!format->keeps_codes()) continue;
    const LinearSpec spec{.group_size = 32, .symmetric = format->name() == "gptq"};
    const QuantizedLinear linear = random_linear(32, 64, spec, rng);
    const Json config = format->config({.spec = spec});
    for (int round = 0; round < 60; ++round) {
      StoredTensors damaged(*format, kModule, linear);
      const std::vector<StoredTensor>& all = damaged.all();
      const std::string& name = all[rng.below(all.size())].spec.name;
      StoredTensor& tensor = damaged.at(name.substr(std::string(kModule).size() + 1));
      tensor.bytes[rng.below(tensor.bytes.size())] ^= std::byte{static_cast<uint8_t>(1 + rng.below(255))};
      const CheckpointOnDisk disk(damaged.all());
      try {
        dequantize(format->read(disk.open(), kModule, config));
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kBadInput) << error.what();
        EXPECT_THAT(error.what(), HasSubstr(kModule));
      }
    }
  }
}

TEST(ExportFormats, WhatIsListedAsPlainIsReadBack) {
  const std::vector<std::string> plain = {"lm_head", "model.layers.0.mlp.up_proj"};
  for (const ExportFormat* format : export_formats()) {
    if (!format->keeps_codes()) continue;
    const Json config = format->config({.skipped = plain, .plain = plain});
    EXPECT_EQ(format->listed_as_plain(Json::parse(config.dump(2), "t")), plain) << format->name();
    EXPECT_TRUE(format->listed_as_plain(format->config({})).empty()) << format->name();
  }
}

TEST(ExportFormats, TheConfigurationIsRecognisedByItsFormatOnly) {
  for (const ExportFormat* format : export_formats()) {
    const Json config = format->config({.tool_version = "hesse:0.1.0"});
    EXPECT_EQ(config.is_null(), !format->keeps_codes());
    if (config.is_null()) continue;
    EXPECT_EQ(format_of(&config), format) << format->name();
    const Json reread = Json::parse(config.dump(2), "config.json");
    for (const ExportFormat* other : export_formats()) EXPECT_EQ(other->recognises(reread), other == format);
  }
}

TEST(ExportFormats, NamesAreUniqueAndFound) {
  std::set<std::string_view> names;
  for (const ExportFormat* format : export_formats()) {
    EXPECT_TRUE(names.insert(format->name()).second) << format->name();
    EXPECT_EQ(&export_format(format->name()), format);
  }
}

TEST(ExportFormats, EveryReasonNamesItsNumbers) {
  for (const ExportFormat* format : export_formats()) {
    EXPECT_THAT(format->why_not(32, 32, {.bits = 5}), HasSubstr("5"));
    EXPECT_THAT(format->why_not(32, 32, {.group_size = 0}), HasSubstr("group_size = 0"));
    EXPECT_THAT(format->why_not(32, 32, {.group_size = -2}), HasSubstr("group_size = -2"));
    EXPECT_THAT(format->why_not(32, 0, {}), HasSubstr("[32, 0]"));
  }
}

// What cannot be stored is refused by write() as well, before any tensor leaves it.
TEST(ExportFormats, WriteRefusesWhatWhyNotRefuses) {
  Rng rng(1);
  for (const ExportFormat* format : export_formats()) {
    QuantizedLinear linear = random_linear(32, 32, {.bits = 4, .group_size = 32}, rng);
    linear.spec.bits = 5;
    int tensors = 0;
    EXPECT_THROW(format->write(kModule, linear, [&](std::string_view, std::span<const std::byte>) { ++tensors; }),
                 Error);
    EXPECT_EQ(tensors, 0);
  }
}

TEST(ExportFormats, UnknownNamesAndMethodsAreRefusedWithTheKnownOnes) {
  const auto message = [](ErrorKind kind, const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      return error.what();
    }
    return "no error";
  };
  const auto of = [](const char* text) {
    const Json config = Json::parse(text, "t");
    return format_of(&config);
  };
  EXPECT_THAT(message(ErrorKind::kUsage, [] { export_format("ggml"); }), HasSubstr("'ggml'"));
  EXPECT_THAT(message(ErrorKind::kUsage, [] { export_format(""); }), HasSubstr("gptq, gptq_v2"));
  EXPECT_THAT(message(ErrorKind::kBadInput, [&] { of(R"({"quant_method": "fp8"})"); }), HasSubstr("\"fp8\""));
  EXPECT_THAT(message(ErrorKind::kBadInput, [&] { of(R"({"bits": 4})"); }), HasSubstr("missing"));
  EXPECT_THAT(message(ErrorKind::kBadInput, [&] { of("[]"); }), HasSubstr("quantization_config"));
  EXPECT_EQ(of("null"), nullptr);
  EXPECT_EQ(format_of(nullptr), nullptr);
}

// The comparison that the round trip rests on must be able to fail.
TEST(ExportFormats, ExpectSameNoticesADifference) {
  Rng rng(2);
  static QuantizedLinear a;
  static QuantizedLinear b;
  a = random_linear(32, 32, {.group_size = 32}, rng);
  b = random_linear(32, 32, {.group_size = 32}, rng);
  b.codes = a.codes.clone();
  b.scales = a.scales.clone();
  b.codes(31, 31) ^= 1;
  EXPECT_NONFATAL_FAILURE(expect_same(a, b), "codes differ");
  b.codes(31, 31) ^= 1;
  b.scales(0, 31) = -b.scales(0, 31);
  EXPECT_NONFATAL_FAILURE(expect_same(a, b), "scales differ");
}

}  // namespace
}  // namespace hesse
