#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "io/test_files.h"

namespace hesse {
namespace {

using testing::HasSubstr;

uint64_t new_seed() { return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()); }

std::string length_of(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string file_of(const std::string& header, const std::string& data) {
  return length_of(header.size()) + header + data;
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

const std::string kWords("\x10\x32\x54\x76\x98\xBA\xDC\xFE", 8);  // 0x76543210, 0xFEDCBA98
const std::string kHalves("\x00\x38\x00\xB4", 4);                 // 0.5, -0.25

// The example of docs/FORMATS.md, 180 bytes.
std::string golden() {
  return file_of(R"({"__metadata__":{"format":"pt"},"a.qweight":{"dtype":"I32","shape":[1,2],"data_offsets":[0,8]},)"
                 R"("a.scales":{"dtype":"F16","shape":[1,2],"data_offsets":[8,12]}}  )",
                 kWords + kHalves);
}

TEST(Safetensors, ReadsTheGoldenFile) {
  const TestDirectory directory;
  ASSERT_EQ(golden().size(), 180u);
  put_file(directory / "f", golden());
  const SafetensorsFile file(directory / "f");
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].spec.name, "a.qweight");
  EXPECT_EQ(file.tensors()[0].spec.dtype, DType::kI32);
  EXPECT_EQ(file.tensors()[0].spec.shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(text_of(file.tensors()[0].bytes), kWords);
  EXPECT_EQ(file.tensors()[1].spec.dtype, DType::kF16);
  EXPECT_EQ(text_of(file.tensors()[1].bytes), kHalves);
}

TEST(Safetensors, ReadsHeadersWithoutMetadataAndWithoutTensors) {
  const TestDirectory directory;
  const std::string small = file_of(R"({"a.qweight":{"dtype":"I32","shape":[1,2],"data_offsets":[0,8]}})", kWords);
  ASSERT_EQ(small.size(), 80u);
  put_file(directory / "small", small);
  EXPECT_EQ(text_of(SafetensorsFile(directory / "small").tensors().at(0).bytes), kWords);
  put_file(directory / "empty", file_of("{}      ", ""));
  EXPECT_TRUE(SafetensorsFile(directory / "empty").tensors().empty());
}

TEST(Safetensors, WritesTheGoldenFile) {
  const TestDirectory directory;
  SafetensorsLayout layout =
      layout_safetensors({{"a.scales", DType::kF16, {1, 2}}, {"a.qweight", DType::kI32, {1, 2}}});
  EXPECT_EQ(layout.file_size, 180);
  SafetensorsWriter writer(directory / "f", std::move(layout));
  writer.write("a.scales", bytes_of(kHalves));
  EXPECT_FALSE(writer.complete());
  writer.write("a.qweight", bytes_of(kWords));
  EXPECT_TRUE(writer.complete());
  writer.finish();
  EXPECT_EQ(get_file(directory / "f"), golden());
}

TEST(Safetensors, LayoutIsByElementSizeThenNameAndAligned) {
  const SafetensorsLayout layout = layout_safetensors({{"b", DType::kU8, {3}},
                                                       {"a", DType::kU8, {5}},
                                                       {"z", DType::kI64, {1}},
                                                       {"h", DType::kBF16, {}},
                                                       {"none", DType::kF32, {0, 7}},
                                                       {"f", DType::kF32, {2}}});
  std::string order;
  int64_t reached = static_cast<int64_t>(layout.header.size());
  EXPECT_EQ(reached % 8, 0);
  for (const auto& entry : layout.entries) {
    order += entry.spec.name + " ";
    EXPECT_EQ(entry.offset, reached);
    EXPECT_EQ(entry.offset % dtype_size(entry.spec.dtype), 0);
    reached += entry.spec.bytes();
  }
  EXPECT_EQ(order, "z f none h a b ");
  EXPECT_EQ(layout.file_size, reached);
}

std::vector<TensorSpec> random_specs(Rng& rng) {
  const char* const names[] = {"", "w", "layers.0.mlp", "\"quoted\\\"", "Ä\n", "lm_head.weight", "a b"};
  std::vector<TensorSpec> specs(rng.below(12));
  for (size_t i = 0; i < specs.size(); ++i) {
    specs[i].name = names[rng.below(7)] + std::string(".") + std::to_string(i);
    specs[i].dtype = static_cast<DType>(rng.below(15));
    specs[i].shape.resize(rng.below(4));
    for (int64_t& size : specs[i].shape) size = static_cast<int64_t>(rng.below(8));
  }
  return specs;
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  const TestDirectory directory;
  const uint64_t seed = new_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  for (int round = 0; round < 50; ++round) {
    std::vector<TensorSpec> specs = random_specs(rng);
    std::map<std::string, std::string> contents;
    const auto path = directory / std::to_string(round);
    SafetensorsLayout layout = layout_safetensors(specs);
    const int64_t file_size = layout.file_size;
    SafetensorsWriter writer(path, std::move(layout));
    rng.shuffle(specs);
    for (const TensorSpec& spec : specs) {
      std::string bytes(static_cast<size_t>(spec.bytes()), '\0');
      for (char& c : bytes) c = static_cast<char>(rng.next());
      writer.write(spec.name, bytes_of(bytes));
      contents[spec.name] = bytes;
    }
    writer.finish();
    EXPECT_EQ(std::filesystem::file_size(path), static_cast<uintmax_t>(file_size));

    const SafetensorsFile file(path);
    ASSERT_EQ(file.tensors().size(), specs.size());
    for (const TensorSpec& spec : specs) {
      const auto same = [&](const TensorView& tensor) { return tensor.spec.name == spec.name; };
      const auto found = std::find_if(file.tensors().begin(), file.tensors().end(), same);
      ASSERT_NE(found, file.tensors().end()) << spec.name;
      EXPECT_EQ(found->spec.dtype, spec.dtype);
      EXPECT_EQ(found->spec.shape, spec.shape);
      EXPECT_EQ(text_of(found->bytes), contents[spec.name]);
    }
  }
}

TEST(Safetensors, MisuseOfTheWriterIsNamed) {
  const TestDirectory directory;
  const auto misuse = [&](const auto& action) { return message_of(ErrorKind::kInternal, action); };
  const TensorSpec a{"a", DType::kF16, {2}}, b{"b", DType::kF16, {2}};
  EXPECT_THAT(misuse([&] { layout_safetensors({a, a}); }), HasSubstr("'a' stands twice"));
  EXPECT_THAT(misuse([&] { layout_safetensors({{"__metadata__", DType::kU8, {}}}); }), HasSubstr("__metadata__"));
  {
    SafetensorsWriter writer(directory / "f", layout_safetensors({a, b}));
    EXPECT_THAT(misuse([&] { writer.write("c", bytes_of("1234")); }), HasSubstr("'c' is not part"));
    EXPECT_THAT(misuse([&] { writer.write("a", bytes_of("123")); }), HasSubstr("planned with 4 bytes, given 3"));
    writer.write("a", bytes_of("1234"));
    EXPECT_THAT(misuse([&] { writer.write("a", bytes_of("1234")); }), HasSubstr("written twice"));
    EXPECT_THAT(misuse([&] { writer.finish(); }), HasSubstr("'b' was never written; 1 of 2"));
  }
  EXPECT_FALSE(std::filesystem::exists(directory / "f"));
}

TEST(TensorSpec, SizesAreChecked) {
  EXPECT_EQ((TensorSpec{"s", DType::kF64, {}}.bytes()), 8);
  EXPECT_EQ((TensorSpec{"z", DType::kF64, {5, 0}}.elements()), 0);
  const TensorSpec big{"big", DType::kF16, {int64_t{1} << 32, int64_t{1} << 31}};
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { big.elements(); }), HasSubstr("4294967296 x 2147483648"));
  const TensorSpec wide{"wide", DType::kF64, {int64_t{1} << 61}};
  EXPECT_EQ(wide.elements(), int64_t{1} << 61);
  EXPECT_THAT(message_of(ErrorKind::kBadInput, [&] { wide.bytes(); }), HasSubstr("2305843009213693952 x 8"));
}

TEST(QuotedName, IsOneShortLine) {
  EXPECT_EQ(quoted_name("a.weight"), "'a.weight'");
  EXPECT_EQ(quoted_name("a\nb\x1B"), "'a?b?'");
  EXPECT_EQ(quoted_name(std::string(5000, 'x')), "'" + std::string(120, 'x') + "...'");
  EXPECT_EQ(quoted_name(std::string(119, 'x') + "\xC3\xA9"), "'" + std::string(119, 'x') + "...'");  // not half an é
}

struct Hostile {
  const char* title;
  std::string file;
  std::vector<std::string> fragments;
};

// The header padded so that the data begin at byte 128, which makes the numbers of the messages easy to see.
std::string at_128(std::string header, const std::string& data) {
  header.resize(120, ' ');
  return file_of(header, data);
}

// One tensor "w", described by `entry`, and `bytes` of data.
std::string one(const std::string& entry, size_t bytes) {
  return at_128("{\"w\":" + entry + "}", std::string(bytes, 'd'));
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

std::string u8(const std::string& name, int begin, int end) {
  return "\"" + name + "\":" +
         entry("\"U8\"", "[" + std::to_string(end - begin) + "]",
               "[" + std::to_string(begin) + "," + std::to_string(end) + "]");
}

std::vector<Hostile> hostile_headers() {
  const std::string deep = "{\"w\":" + std::string(1000, '[');
  return {
      {"empty", "", {"file has 0 bytes", "at least 8"}},
      {"seven bytes", "1234567", {"file has 7 bytes", "at least 8"}},
      {"length only", length_of(2), {"header ends at byte 10, file has 8", "incomplete download?"}},
      {"length zero", length_of(0), {"header of 0 bytes", "'{'"}},
      {"length above the limit", length_of(100000001) + "{}", {"100000001", "100000000"}},
      {"length of all ones", length_of(~uint64_t{0}) + "{}", {"18446744073709551615", "100000000"}},
      {"length at the limit", length_of(100000000) + "{}", {"byte 100000008, file has 10"}},
      {"git lfs", "version https://git-lfs.github.com/spec/v1\n", {"Git LFS", "43 bytes", "git lfs pull"}},
      {"not json", file_of("{\"w\":", ""), {"[json]", "header", "line 1"}},
      {"an array", file_of("[]", ""), {"does not begin with '{'"}},
      {"space first", file_of(" {}", ""), {"does not begin with '{'"}},
      {"text behind", file_of("{} x", ""), {"[json]", "header"}},
      {"nested", file_of(deep, ""), {"nested deeper than 200"}},
      {"name twice", file_of("{" + u8("w", 0, 1) + "," + u8("w", 1, 2) + "}", "dd"), {"'w' stands twice"}},
      {"not utf-8", file_of("{\"\xC3\x28\":1}", ""), {"[json]", "header"}},
      {"metadata not an object", file_of(R"({"__metadata__":"pt"})", ""), {"__metadata__", "expected an object"}},
      {"metadata of numbers", file_of(R"({"__metadata__":{"n":1}})", ""), {"__metadata__", "'n'", "expected a string"}},
      {"entry not an object", one("[]", 0), {"'w' is described by []"}},
      {"no dtype", one(R"({"shape":[],"data_offsets":[0,1]})", 1), {"'w' has no \"dtype\""}},
      {"no shape", one(R"({"dtype":"U8","data_offsets":[0,1]})", 1), {"'w' has no \"shape\""}},
      {"no offsets", one(R"({"dtype":"U8","shape":[]})", 1), {"'w' has no \"data_offsets\""}},
      {"unknown dtype", one(entry("\"F4_X2\"", "[1]", "[0,1]"), 1), {"'w' has the unknown dtype \"F4_X2\""}},
      {"dtype a number", one(entry("7", "[1]", "[0,1]"), 1), {"'w' has the unknown dtype 7"}},
      {"evil name", file_of("{\"a\\nb\":1}", ""), {"'a?b' is described by 1"}},
  };
}

std::vector<Hostile> hostile_numbers() {
  const std::string u8_type = "\"U8\"", f16 = "\"F16\"";
  return {
      {"shape a number", one(entry(u8_type, "1", "[0,1]"), 1), {"'w' shape: expected an array, found 1"}},
      {"negative shape", one(entry(u8_type, "[-1]", "[0,1]"), 1), {"'w' shape", "from 0", "found -1"}},
      {"fraction", one(entry(u8_type, "[1.5]", "[0,1]"), 1), {"'w' shape", "found 1.5"}},
      {"float that is whole", one(entry(u8_type, "[1.0]", "[0,1]"), 1), {"'w' shape", "found 1.0"}},
      {"exponent", one(entry(u8_type, "[1e0]", "[0,1]"), 1), {"'w' shape", "found 1e0"}},
      {"text", one(entry(u8_type, "[\"1\"]", "[0,1]"), 1), {"'w' shape", "found \"1\""}},
      {"2^63", one(entry(u8_type, "[9223372036854775808]", "[0,1]"), 1), {"2^63 - 1", "found 9223372036854775808"}},
      {"product", one(entry(u8_type, "[4294967296,4294967296]", "[0,1]"), 1), {"4294967296 x 4294967296", "'w'"}},
      {"product to zero", one(entry(u8_type, "[4294967296,4294967296,0]", "[0,0]"), 0), {"4294967296 x 4294967296"}},
      {"bytes", one(entry(f16, "[9223372036854775807]", "[0,1]"), 1), {"9223372036854775807 x 2", "'w'"}},
      {"offsets an object", one(entry(u8_type, "[1]", "{}"), 1), {"data_offsets: expected two numbers, found {}"}},
      {"one offset", one(entry(u8_type, "[1]", "[0]"), 1), {"data_offsets: expected two numbers, found [0]"}},
      {"three offsets", one(entry(u8_type, "[1]", "[0,1,2]"), 1), {"expected two numbers, found [0, 1, 2]"}},
      {"negative offset", one(entry(u8_type, "[1]", "[-1,0]"), 1), {"data_offsets: expected", "found -1"}},
      {"backwards", one(entry(u8_type, "[1]", "[1,0]"), 1), {"begins at byte 129 and ends before it, at 128"}},
      {"too few bytes", one(entry(f16, "[2,3]", "[0,8]"), 8), {"shape [2, 3] and dtype F16 needs 12 bytes", "it 8"}},
      {"too many bytes", one(entry(f16, "[]", "[0,8]"), 8), {"shape [] and dtype F16 needs 2 bytes", "it 8"}},
      {"truncated", one(entry(f16, "[4]", "[0,8]"), 7), {"'w' ends at byte 136, file has 135", "incomplete download?"}},
      {"end at 2^63 - 1",
       one(entry(u8_type, "[1]", "[0,9223372036854775807]"), 1),
       {"ends at byte 9223372036854775935, file has 129"}},
      {"begin at 2^63 - 1",
       one(entry(u8_type, "[0]", "[9223372036854775807,9223372036854775807]"), 1),
       {"ends at byte 9223372036854775935, file has 129"}},
      {"trailing", one(entry(u8_type, "[1]", "[0,1]"), 3), {"ends at byte 129, file has 131", "2 trailing bytes"}},
      {"trailing without tensors", at_128("{}", "dd"), {"ends at byte 128, file has 130", "2 trailing bytes"}},
      {"hole in front",
       one(entry(u8_type, "[1]", "[1,2]"), 2),
       {"'w' begins at byte 129", "the header ends at byte 128"}},
      {"hole",
       at_128("{" + u8("a", 0, 2) + "," + u8("b", 3, 4) + "}", "dddd"),
       {"'b' begins at byte 131, leaving a gap: 'a' ends at byte 130"}},
      {"overlap",
       at_128("{" + u8("a", 0, 2) + "," + u8("b", 1, 3) + "}", "ddd"),
       {"'b' begins at byte 129, overlapping: 'a' ends at byte 130"}},
      {"same bytes twice",
       at_128("{" + u8("a", 0, 2) + "," + u8("b", 0, 2) + "}", "dd"),
       {"'b' begins", "overlapping"}},
      {"empty tensor inside another", at_128("{" + u8("a", 0, 2) + "," + u8("b", 1, 1) + "}", "dd"), {"overlapping"}},
  };
}

void expect_refusals(const std::vector<Hostile>& table) {
  const TestDirectory directory;
  for (const Hostile& hostile : table) {
    SCOPED_TRACE(hostile.title);
    put_file(directory / "model.safetensors", hostile.file);
    const std::string message =
        message_of(ErrorKind::kBadInput, [&] { SafetensorsFile file(directory / "model.safetensors"); });
    EXPECT_THAT(message, HasSubstr("model.safetensors"));
    for (const std::string& fragment : hostile.fragments) EXPECT_THAT(message, HasSubstr(fragment));
    EXPECT_LT(message.size(), 600u);
  }
}

TEST(Safetensors, HostileHeadersAreRefused) { expect_refusals(hostile_headers()); }

TEST(Safetensors, HostileNumbersAreRefusedWithBothOfThem) { expect_refusals(hostile_numbers()); }

TEST(Safetensors, OddButValidFilesAreRead) {
  const TestDirectory directory;
  // Any order in the header, unaligned data, tensors without bytes at a border, a scalar, unknown keys, empty metadata.
  put_file(directory / "f",
           file_of("{\"__metadata__\":{}," + u8("late", 1, 3) + "," + u8("none", 1, 1) + "," + u8("early", 0, 1) + "," +
                       u8("end", 7, 7) + R"(,"scalar":{"extra":[],"dtype":"F32","shape":[],"data_offsets":[3,7]}})",
                   "abcdefg"));
  const SafetensorsFile file(directory / "f");
  std::string all;
  for (const TensorView& tensor : file.tensors()) all += tensor.spec.name + "=" + text_of(tensor.bytes) + " ";
  EXPECT_EQ(all, "early=a none= late=bc scalar=defg end= ");
}

// Flips, replaces, inserts and removes bytes, mostly in the header; sometimes cuts the file.
std::string mutated(std::string bytes, Rng& rng) {
  const char digits[] = "0123456789-.,[]{}\":e";
  for (uint64_t count = 1 + rng.below(4); count > 0 && !bytes.empty(); --count) {
    const size_t at = rng.below(rng.below(4) == 0 ? bytes.size() : std::min<size_t>(bytes.size(), 330));
    switch (rng.below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(rng.next());
        break;
      case 2:
        bytes[at] = digits[rng.below(sizeof digits - 1)];
        break;
      case 3:
        bytes.insert(at, 1, digits[rng.below(sizeof digits - 1)]);
        break;
      case 4:
        bytes.erase(at, 1);
        break;
      default:
        if (rng.below(4) == 0) bytes.resize(at);
    }
  }
  return bytes;
}

TEST(Safetensors, MutatedFilesAreReadWithinBoundsOrRefused) {
  const TestDirectory directory;
  const uint64_t seed = new_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  SafetensorsLayout layout = layout_safetensors(
      {{"a", DType::kF16, {3, 4}}, {"b", DType::kI32, {2}}, {"c", DType::kU8, {}}, {"d", DType::kF64, {0}}});
  const std::string valid =
      layout.header + std::string(static_cast<size_t>(layout.file_size) - layout.header.size(), 'd');
  int read = 0, refused = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::string bytes = mutated(valid, rng);
    put_file(directory / "f", bytes);
    try {
      const SafetensorsFile file(directory / "f");
      size_t total = 0;
      for (const TensorView& tensor : file.tensors()) {
        const size_t begin = static_cast<size_t>(tensor.bytes.data() - file.file().bytes().data());
        ASSERT_LE(begin, bytes.size());
        ASSERT_LE(tensor.bytes.size(), bytes.size() - begin);
        ASSERT_EQ(text_of(tensor.bytes), bytes.substr(begin, tensor.bytes.size()));
        total += tensor.bytes.size();
      }
      ASSERT_LT(total, bytes.size());
      ++read;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::kBadInput) << error.what();
      ++refused;
    }
  }
  // Both ways were taken: mutations of data or padding are harmless, most of the header are not.
  EXPECT_GT(read, 50);
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace hesse
